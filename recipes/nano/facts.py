"""World facts from the tables: statements, questions, and the wordings that only the exam uses."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache

from .lexicon import article, lines, pairs, synonyms, table, upper_first
from .rows import Row, brief, dress, qa, text_row


@dataclass(frozen=True)
class WorldFact:
    """One fact: what to say, how to ask in training, how the exam asks."""

    say: str
    value: str
    asks: tuple[str, ...]
    queries: tuple[str, ...]
    exam: tuple[str, ...]
    language: str


@lru_cache
def world(language: str) -> list[WorldFact]:
    """All facts of one language in a fixed order."""
    facts = []
    for head, marks in _relations():
        tongue, name, subject, value = head
        if tongue != language:
            continue
        seen: dict[str, int] = {}
        for row in table(name):
            seen[row[subject]] = seen.get(row[subject], 0) + 1
        for row in table(name):
            if seen[row[subject]] > 1:
                continue
            say, asks, queries, exam = (
                tuple(_fit(text, row[subject], row[value]) for text in marks[mark]) for mark in "+?~="
            )
            facts.append(WorldFact(say[0], row[value], asks, queries, exam, language))
    for row in table(f"trivia_{language}"):
        facts.append(
            WorldFact(row["say"], row["short"], tuple(row["ask"].split("|")), (), (row["exam"],), language)
        )
    return facts


def _fit(template: str, subject: str, value: str) -> str:
    text = template.replace("{a}", article(subject)).replace("{s}", subject).replace("{v}", value)
    for vowel in "aeiou":
        text = text.replace(f" a {vowel}", f" an {vowel}").replace(f"A {vowel}", f"An {vowel}")
    return upper_first(text)


def _relations() -> list[tuple[list[str], dict[str, list[str]]]]:
    found: list[tuple[list[str], dict[str, list[str]]]] = []
    for line in lines("relations.txt"):
        if line.startswith("["):
            found.append((line.strip("[]").split(), {"+": [], "?": [], "=": [], "~": []}))
        else:
            mark, text = line.split(" ", 1)
            found[-1][1][mark].append(text)
    return found


def world_row(rng: random.Random, language: str) -> Row:
    """A question about the world, now and then the bare statement."""
    fact = rng.choice(world(language))
    draw = rng.random()
    if draw < 0.05:
        others = rng.sample(world(language), 3)
        return text_row(
            (" " if language == "en" else "").join(other.say for other in [fact, *others]), language
        )
    if fact.queries and draw < 0.15:
        query = rng.choice(fact.queries)
        return qa(query if rng.random() < 0.5 else query.lower(), fact.say, "world", language)
    question = dress(rng, rng.choice(fact.asks), language)
    if draw < 0.3:
        answer = upper_first(fact.value) if len(fact.value) > 2 else fact.value
        return qa(
            brief(rng, question, language), answer + ("。" if language == "zh" else "."), "world", language
        )
    return qa(question, fact.say, "world", language)


_PAIR_ASKS = {
    "opposite": (
        "What is the opposite of {a}?",
        "Tell me the opposite of {a}.",
        "What is the contrary of {a}?",
        "opposite {a}",
    ),
    "plural": (
        "What is the plural of {a}?",
        "Tell me the plural of {a}.",
        "How do you say {a} in the plural?",
        "plural {a}",
    ),
    "past tense": (
        "What is the past tense of {a}?",
        "Tell me the past tense of {a}.",
        "Put {a} into the past tense.",
        "past tense {a}",
    ),
    "comparative": ("What is the comparative of {a}?", "Tell me the comparative of {a}.", "comparative {a}"),
    "adverb": ("What is the adverb of {a}?", "Tell me the adverb of {a}.", "adverb {a}"),
    "noun": ("What is the noun of {a}?", "Tell me the noun that belongs to {a}.", "noun {a}"),
    "反义词": (
        "{a}的反义词是什么？",
        "“{a}”的反义词？",
        "请说出{a}的反义词。",
        "哪个词和{a}意思相反？",
        "和{a}相反的词是什么？",
        "{a} 反义词",
    ),
    "量词": ("{a}用什么量词？", "{a}的量词是什么？", "{a} 量词"),
    "英文": (
        "{a}用英文怎么说？",
        "{a}的英文是什么？",
        "请把{a}说成英文。",
        "把{a}翻译成英文是什么？",
        "翻译成英文：{a}",
        "{a} 英文",
    ),
}
PAIR_EXAM = {
    "opposite": "Which word is the opposite of {a}?",
    "plural": "Which word is the plural of {a}?",
    "past tense": "Which word is the past tense of {a}?",
    "反义词": "和{a}意思相反的词是什么？",
    "英文": "请把{a}翻译成英文。",
}


def pair_say(kind: str, left: str, right: str) -> str:
    """The statement of a word pair."""
    if kind in ("反义词", "量词", "英文"):
        return f"{left}的{kind}是{right}。"
    return f"The {kind} of {left} is {right}."


def pair_row(rng: random.Random, language: str) -> Row:
    """A question about opposites, plurals, tenses, measure words, translations."""
    kinds = pairs(language)
    kind = rng.choices(list(kinds), [len(items) for items in kinds.values()])[0]
    left, right = rng.choice(kinds[kind])
    if (
        kind in ("opposite", "反义词")
        and rng.random() < 0.5
        and sum(a == right or b == right for a, b in kinds[kind]) == 1
    ):
        left, right = right, left
    question = rng.choice(_PAIR_ASKS[kind]).replace("{a}", left)
    if rng.random() < 0.15:
        return qa(
            brief(rng, question, language), right + ("。" if language == "zh" else "."), "words", language
        )
    return qa(question, pair_say(kind, left, right), "words", language)


def synonym_row(rng: random.Random, language: str) -> Row:
    """A question about words that mean the same."""
    group = rng.choice(synonyms(language))
    left, right = rng.sample(group.words, 2)
    other = rng.choice(rng.choice(synonyms(language)).words)
    draw = rng.random()
    if language == "zh":
        if draw < 0.55:
            question = rng.choice(("{a}还可以怎么说？", "{a}的近义词是什么？", "和{a}意思一样的词是什么？"))
            return qa(question.replace("{a}", left), f"{left}也可以说{right}。", "words", language)
        same = draw < 0.8 or other in group.words
        mate = right if draw < 0.8 else other
        answer = f"是的，{left}和{mate}意思一样。" if same else f"不，{left}和{mate}意思不一样。"
        return qa(f"{left}和{mate}意思一样吗？", answer, "words", language)
    if draw < 0.55:
        question = rng.choice(
            (
                "What is another word for {a}?",
                "What means the same as {a}?",
                "Give me a synonym of {a}.",
                "synonym {a}",
            )
        )
        return qa(question.replace("{a}", left), f"Another word for {left} is {right}.", "words", language)
    same = draw < 0.8 or other in group.words
    mate = right if draw < 0.8 else other
    answer = (
        f"Yes, {left} and {mate} mean the same." if same else f"No, {left} and {mate} do not mean the same."
    )
    return qa(f"Do {left} and {mate} mean the same?", answer, "words", language)

"""The recipe's unit of data and the conversational dress of questions."""

from __future__ import annotations

import random
from dataclasses import dataclass

from labtune.generation.lexicon import load_lexicon

from .lexicon import pick, synonyms, upper_first

TEXT = "text"


@dataclass(frozen=True)
class Row:
    """One training row; a plain text has the single role `text`."""

    messages: tuple[tuple[str, str], ...]
    category: str
    language: str
    train_user: bool = False
    must: tuple[str, ...] = ()

    @property
    def question(self) -> str:
        return next(content for role, content in self.messages if role != "system")

    @property
    def answer(self) -> str:
        return self.messages[-1][1]


def qa(question: str, answer: str, category: str, language: str, must: tuple[str, ...] = ()) -> Row:
    """A row of one turn."""
    return Row((("user", question), ("assistant", answer)), category, language, must=must)


def text_row(text: str, language: str) -> Row:
    """A row of plain text, trained on every token."""
    return Row(((TEXT, text),), "text", language, train_user=True)


_BRIEF_EN = ("Answer briefly: {q}", "{q} Answer in a few words.", "{q} (short answer)", "In a few words: {q}")
_BRIEF_ZH = ("{q}（简短回答）", "请简短回答：{q}", "用几个字回答：{q}")
_BEFORE_EN = (
    "Hello, {l}",
    "Hi! {q}",
    "Please tell me: {q}",
    "Quick question: {q}",
    "Excuse me, {l}",
    "{q} Thanks!",
    "I would like to know: {l}",
    "Can you help me? {q}",
    "{q} Please help.",
    "One more thing: {l}",
    "Sorry, {l}",
    "A question: {q}",
    "Hey, {l}",
    "I have a question. {q}",
    "I was wondering: {l}",
    "Tell me: {l}",
    "And {l}",
    "So {l}",
    "{q} I could not find it.",
    "{q} I want to be sure.",
    "My question is: {l}",
    "Good morning! {q}",
)
_BEFORE_ZH = (
    "你好，{q}",
    "请问{q}",
    "请告诉我，{q}",
    "我想知道{q}",
    "麻烦问一下，{q}",
    "{q}谢谢！",
    "我想问一下，{q}",
    "您好，请问{q}",
    "那么{q}",
    "有个问题：{q}",
    "帮我看看，{q}",
    "想请教一下，{q}",
    "打扰一下，{q}",
)
IDK_EN = (
    "I don't know that.",
    "I do not know the answer to that.",
    "Sorry, I don't know.",
    "I don't know, I have no information about that.",
    "I don't know, I was not taught that.",
)
IDK_ZH = ("我不知道。", "对不起，我不知道。", "我不知道，没有这方面的信息。", "这个我不知道，没有人教过我。")
UNSAID_EN = (
    "The text does not say that.",
    "I don't know, the text does not say.",
    "That is not in the text.",
    "The text gives no information about that.",
)
# every variant holds these words, so that one rule scores them all
UNKNOWN_MUST: dict[str, tuple[str, ...]] = {"en": ("know",), "zh": ("不知道",)}
UNSAID_MUST: dict[str, tuple[str, ...]] = {"en": ("text",), "zh": ("文", "没有")}
UNSAID_ZH = ("文中没有提到。", "我不知道，文中没有说明。", "文章里没有这个信息。")


def brief(rng: random.Random, question: str, language: str) -> str:
    """Ask for a short answer."""
    return rng.choice(_BRIEF_ZH if language == "zh" else _BRIEF_EN).replace("{q}", question)


def unknown(rng: random.Random, language: str) -> str:
    """A sentence that says that the model does not know."""
    return rng.choice(IDK_ZH if language == "zh" else IDK_EN)


def unsaid(rng: random.Random, language: str) -> str:
    """A sentence that says that the passage does not tell."""
    return rng.choice(UNSAID_ZH if language == "zh" else UNSAID_EN)


def _swaps(language: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for group in synonyms(language):
        single = [word for word in group.words if " " not in word]
        for word in single:
            others = [other for other in single if other != word]
            if not others:
                continue
            found.setdefault(word, []).extend(others)
            if group.part == "n" and language == "en":
                found.setdefault(word + "s", []).extend(other + "s" for other in others)
    return found


_SWAPS_EN = _swaps("en")
_SAFE_SWAPS_ZH = {word: others for word, others in _swaps("zh").items() if len(word) > 1}


def swap_words(rng: random.Random, text: str, rate: float) -> str:
    """Replace English words of `text` by synonyms with probability `rate` each."""
    words = text.split(" ")
    for index, word in enumerate(words):
        bare = word.rstrip("?.,!")
        others = _SWAPS_EN.get(bare)
        if others and rng.random() < rate:
            other = rng.choice(others)
            previous = words[index - 1] if index else ""
            if previous in ("a", "an"):
                words[index - 1] = "an" if other[0] in "aeiou" else "a"
            words[index] = other + word[len(bare) :]
    return " ".join(words)


def dress(rng: random.Random, template: str, language: str) -> str:
    """A question as a person would send it: alternatives chosen, greeting, casing, synonyms, small talk.

    The small talk is the generator's own, so that tuning does not have to teach that it means nothing.
    """
    question = _dress(rng, template, language)
    draw = rng.random()
    if draw < 0.9:
        return question
    asides = load_lexicon("asides")[language]
    joint = "" if language == "zh" else " "
    if draw < 0.95:
        return f"{rng.choice(asides['before'])}{joint}{question}"
    mark = "" if question[-1] in "?？.。!！" else ("？" if language == "zh" else "?")
    return f"{question}{mark}{joint}{rng.choice(asides['after'])}"


def _dress(rng: random.Random, template: str, language: str) -> str:
    question = pick(rng, template)
    if language == "zh":
        if rng.random() < 0.1:
            for word, others in _SAFE_SWAPS_ZH.items():
                if word in question:
                    question = question.replace(word, rng.choice(others), 1)
                    break
        if rng.random() < 0.25:
            return rng.choice(_BEFORE_ZH).replace("{q}", question)
        return question.rstrip("？") if rng.random() < 0.06 else question
    if rng.random() < 0.4:
        question = swap_words(rng, question, 0.25)
    question = upper_first(question)
    draw = rng.random()
    if draw < 0.22:
        lower = question[0].lower() + question[1:] if question.split(" ")[0] in _STARTERS else question
        return rng.choice(_BEFORE_EN).replace("{q}", question).replace("{l}", lower)
    if draw < 0.3:
        return question.lower().rstrip("?")
    return question


_STARTERS = frozenset(
    [
        "What",
        "Which",
        "Who",
        "When",
        "Where",
        "Why",
        "How",
        "Is",
        "Are",
        "Can",
        "May",
        "Does",
        "Do",
        "Did",
        "Was",
        "In",
        "At",
        "On",
        "By",
        "To",
        "For",
        "Until",
        "From",
        "Within",
        "Whom",
        "Name",
        "Tell",
        "The",
        "My",
        "There",
        "Over",
        "Since",
        "With",
        "After",
    ]
)

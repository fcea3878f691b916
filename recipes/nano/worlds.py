"""Invented entities with attributes: passages, questions in many wordings, plain texts, closed-book canon."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import lru_cache

from .lexicon import expand, lines, name_en, name_zh, person, pick, place, upper_first
from .rows import UNKNOWN_MUST, UNSAID_MUST, Row, brief, dress, qa, text_row, unknown, unsaid


@dataclass
class Attribute:
    """What can be said and asked about one property of a type of entity."""

    kind: str
    name: str
    values: list[str]
    keys: list[str]
    says: list[str] = field(default_factory=list)
    asks: list[tuple[str, str]] = field(default_factory=list)
    checks: list[str] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)

    @property
    def base(self) -> str:
        return self.name.split(":")[0]


@dataclass(frozen=True)
class Entity:
    """One invented thing; `alias` is its common noun, `pronoun` what replaces it."""

    kind: str
    name: str
    alias: str
    pronoun: str
    possessive: str
    language: str


@dataclass(frozen=True)
class Fact:
    """One attribute of one entity with its value and the wording that states it."""

    entity: Entity
    attribute: Attribute
    value: str
    key: str
    say: str

    @property
    def sentence(self) -> str:
        return fill(self.say, self, self.entity.name)


_OPTION = {"+": "says", "!": "checks", "~": "queries"}


@lru_cache
def catalogue(language: str, core: bool = False) -> tuple[dict[str, list[str]], dict[str, list[Attribute]]]:
    """The nouns of every type and the attributes of every type; `core` leaves out those added later."""
    nouns: dict[str, list[str]] = {}
    attributes: dict[str, list[Attribute]] = {}
    source = lines(f"worlds_{language}.txt") + ([] if core else lines(f"worlds_{language}_more.txt"))
    for line in source:
        if line.startswith("@type "):
            kind, _, rest = line[6:].partition(":")
            nouns[kind] = [noun.strip() for noun in rest.split("|")]
        elif line.startswith("["):
            head, _, rest = line.partition("] value = ")
            values, _, keys = rest.partition(" ; key = ")
            kind, _, name = head[1:].partition(".")
            attribute = Attribute(kind, name, values.split("|"), keys.split("|") if keys else [])
            attributes.setdefault(kind, []).append(attribute)
        else:
            mark, text = line.split(" ", 1)
            if mark[0] == "?":
                attribute.asks.append((mark[1:], text))
            else:
                getattr(attribute, _OPTION[mark]).append(text)
    return nouns, attributes


def make_entity(rng: random.Random, kind: str, language: str) -> Entity:
    """A fresh entity of one type."""
    noun = rng.choice(catalogue(language)[0][kind]).strip()
    if language == "zh":
        return _entity_zh(rng, kind, noun)
    word = name_en(rng)
    alias, pronoun, possessive = f"the {noun}", "it", "its"
    if kind == "person":
        name = person(rng, "en")
        alias, pronoun, possessive = rng.choice((("she", "she", "her"), ("he", "he", "his")))
    elif kind == "device":
        number = rng.choice(("", f" {rng.randint(2, 900)}", f" {rng.choice('XSMZ')}{rng.randint(1, 9)}"))
        name = rng.choice((f"the {word}{number}", f"the {word}{number}", f"the {word} {noun}"))
    elif kind == "service":
        name = rng.choice((f"the {word} {noun}", f"{word} {noun.title()}", f"the {noun} {word}"))
    elif kind in ("animal", "plant"):
        colour = rng.choice(
            ("silver", "red", "spotted", "mountain", "tiny", "golden", "night", "river", "striped")
        )
        name = rng.choice((f"the {word.lower()}", f"the {colour} {word.lower()}", f"the {word} {noun}"))
    elif kind == "town":
        name = place(rng, "en")
    elif kind == "building":
        name = f"the {word} {noun.title()}"
    else:
        name = word + rng.choice(("in", "ol", "ex", "a", "um"))
    return Entity(kind, name, alias, pronoun, possessive, "en")


def _entity_zh(rng: random.Random, kind: str, noun: str) -> Entity:
    alias, pronoun = f"这{_MEASURE.get(kind, '个')}{noun}", "它"
    if kind == "person":
        name = person(rng, "zh")
        alias = pronoun = rng.choice(("他", "她"))
    elif kind == "device":
        name = rng.choice(
            (f"{name_zh(rng)}{noun}", f"{name_zh(rng)}{rng.choice('XSMZ')}{rng.randint(1, 9)}{noun}")
        )
    elif kind in ("animal", "plant"):
        name = rng.choice("银红斑金夜山花灰雪长") + rng.choice("尾头角背叶羽纹眼") + noun
    elif kind == "town":
        name, alias = place(rng, "zh"), "这个地方"
    elif kind == "medicine":
        name = f"{name_zh(rng)}{noun}"
    else:
        name = f"{name_zh(rng)}{noun}"
    return Entity(kind, name, alias, pronoun, "的", "zh")


_MEASURE = {
    "device": "台",
    "service": "家",
    "animal": "种",
    "plant": "种",
    "building": "座",
    "medicine": "种",
}


def make_fact(rng: random.Random, entity: Entity, attribute: Attribute) -> Fact:
    """One attribute of `entity` with a random value and wording."""
    value = expand(rng, rng.choice(attribute.values).strip(), entity.language)
    key = expand(rng, rng.choice(attribute.keys).strip(), entity.language) if attribute.keys else ""
    return Fact(entity, attribute, value, key, pick(rng, rng.choice(attribute.says)))


def make_facts(rng: random.Random, entity: Entity, count: int, core: bool = False) -> list[Fact]:
    """`count` facts about `entity`, no two of the same property."""
    chosen: dict[str, Attribute] = {}
    attributes = catalogue(entity.language, core)[1][entity.kind]
    for attribute in rng.sample(attributes, min(len(attributes), count + 3)):
        chosen.setdefault(attribute.base, attribute)
    return [make_fact(rng, entity, attribute) for attribute in list(chosen.values())[:count]]


def fill(template: str, fact: Fact, subject: str, value: str | None = None) -> str:
    """Put subject, value and key into a template."""
    text = template.replace("{his}", fact.entity.possessive)
    text = text.replace("{S}", upper_first(subject)).replace("{s}", subject)
    text = text.replace("{v}", value or fact.value).replace("{k}", fact.key)
    if "it's" in text:
        text = text.replace("it's", "its")
    return upper_first(text)


def passage(rng: random.Random, facts: list[Fact]) -> str:
    """The facts as running text, a list or `name: value` lines."""
    style = rng.random()
    gap = "" if facts[0].entity.language == "zh" else " "
    parts = []
    previous = ""
    named: set[str] = set()
    for fact in facts:
        entity = fact.entity
        subject = entity.name
        slot = "{s}" in fact.say or "{S}" in fact.say
        usable = "{S}" in fact.say or (entity.kind != "person" and slot)
        if entity.name == previous and entity.name in named and usable:
            subject = rng.choice((entity.name, entity.alias, entity.pronoun, entity.pronoun))
        if slot:
            named.add(entity.name)
        previous = entity.name
        parts.append(fill(fact.say, fact, subject))
    if style < 0.12:
        return "\n".join(f"- {part}" for part in parts)
    if style < 0.2:
        return f"# {upper_first(facts[0].entity.name)}\n" + gap.join(parts)
    return gap.join(parts)


def ask(rng: random.Random, fact: Fact, subject: str) -> tuple[str, str]:
    """A question about `fact` and the polarity of its answer (empty, + or -)."""
    attribute = fact.attribute
    if attribute.queries and rng.random() < 0.09:
        bare = subject.removeprefix("the ").removeprefix("my ")
        query = fill(rng.choice(attribute.queries), fact, bare)
        return (query if rng.random() < 0.4 else query.lower()), ""
    polarity, template = rng.choice(attribute.asks)
    text = dress(rng, template.replace("{v}", "\x00"), fact.entity.language).replace("\x00", "{v}")
    text = text.replace("{S}", "{s}") if text.islower() else text
    return fill(text, fact, subject) if not text.islower() else fill(
        text, fact, subject.lower()
    ).lower(), polarity


_YES = {"en": ("Yes. ", "No. "), "zh": ("是的。", "不是。")}


def check(rng: random.Random, fact: Fact, subject: str) -> tuple[str, str] | None:
    """A yes/no question about the value, with its answer."""
    if not fact.attribute.checks:
        return None
    value, right = fact.value, True
    if rng.random() < 0.5:
        other = make_fact(rng, fact.entity, fact.attribute).value
        value, right = other, other == fact.value
    question = fill(pick(rng, rng.choice(fact.attribute.checks)), fact, subject, value)
    return question, _YES[fact.entity.language][0 if right else 1] + fact.sentence


def turn(rng: random.Random, fact: Fact, subject: str) -> tuple[str, str, tuple[str, ...]]:
    """Question, answer and `must` words about one fact."""
    language = fact.entity.language
    if rng.random() < 0.1:
        checked = check(rng, fact, subject)
        if checked:
            verdict = checked[1].split("。" if language == "zh" else ".")[0]
            return checked[0], checked[1], (verdict,)
    question, polarity = ask(rng, fact, subject)
    # "May I ...?" gets the rule itself: what the answer says must not depend on how it was asked.
    if polarity:
        return question, fact.sentence, (fact.value,)
    if rng.random() < 0.16:
        return brief(rng, question, language), short(fact), (fact.value,)
    return question, fact.sentence, (fact.value,)


def short(fact: Fact) -> str:
    """The value alone, as a short answer."""
    return upper_first(fact.value) + ("。" if fact.entity.language == "zh" else ".")


def subject_in_question(rng: random.Random, entity: Entity, alone: bool) -> str:
    """How a question names the entity."""
    draw = rng.random()
    if not alone or draw < 0.55:
        return entity.name
    if entity.language == "zh":
        return entity.alias if draw < 0.85 else entity.pronoun
    if entity.kind == "person":
        return entity.name
    noun = entity.alias.removeprefix("the ")
    return rng.choice((entity.alias, f"my {noun}", f"this {noun}", "it", "your " + noun))


def scene(rng: random.Random, language: str) -> list[Fact]:
    """Facts of one to three entities, in the order of a passage."""
    kinds = list(catalogue(language)[1])
    weights = [3 if kind in ("device", "service") else 1 for kind in kinds]
    count = rng.choice((1, 1, 1, 2, 2))
    same = rng.choices(kinds, weights)[0]
    facts: list[Fact] = []
    for _ in range(count):
        kind = same if rng.random() < 0.6 else rng.choices(kinds, weights)[0]
        size = rng.choice((1, 2, 2, 3, 3, 4, 5)) if count == 1 else rng.choice((1, 1, 2))
        facts += make_facts(rng, make_entity(rng, kind, language), size)
    return facts


def missing(rng: random.Random, facts: list[Fact]) -> Fact | None:
    """A fact about an entity of `facts` that the passage does not state."""
    entity = rng.choice(facts).entity
    known = {fact.attribute.base for fact in facts}
    left = [a for a in catalogue(entity.language)[1][entity.kind] if a.base not in known]
    return make_fact(rng, entity, rng.choice(left)) if left else None


def reading(rng: random.Random, language: str, turns: int | None = None) -> Row:
    """A passage with one to four questions about it, some of which it does not answer."""
    facts = scene(rng, language)
    text = passage(rng, facts)
    alone = len({fact.entity.name for fact in facts}) == 1
    messages: list[tuple[str, str]] = []
    must: tuple[str, ...] = ()
    for fact in rng.sample(facts, min(len(facts), turns or rng.choice((1, 2, 3, 4)))):
        absent = missing(rng, facts) if rng.random() < 0.12 else None
        about = absent or fact
        question, answer, must = turn(rng, about, subject_in_question(rng, about.entity, alone))
        if absent:
            answer, must = unsaid(rng, language), UNSAID_MUST[language]
        if not messages:
            question = f"{question}\n\n{text}" if rng.random() < 0.15 else f"{text}\n\n{question}"
        messages += [("user", question), ("assistant", answer)]
    return Row(tuple(messages), "reading", language, train_user=rng.random() < 0.03, must=must)


def document(rng: random.Random, language: str) -> Row:
    """Plain text about invented entities."""
    return text_row(passage(rng, scene(rng, language)), language)


@lru_cache
def canon(language: str) -> list[Fact]:
    """The invented entities that the model learns by heart (they train recall from many wordings).

    They use the core attributes only, so that later additions do not change them.
    """
    rng = random.Random(f"canon-{language}")
    kinds = list(catalogue(language)[1])
    facts: list[Fact] = []
    for index in range(120 if language == "en" else 60):
        facts += make_facts(rng, make_entity(rng, kinds[index % len(kinds)], language), 5, core=True)
    return facts


def recall(rng: random.Random, language: str) -> Row:
    """A closed-book question about the canon, or one of its texts."""
    facts = canon(language)
    fact = rng.choice(facts)
    if rng.random() < 0.1:
        same = [other for other in facts if other.entity == fact.entity]
        return text_row(passage(rng, rng.sample(same, min(3, len(same)))), language)
    question, answer, must = turn(rng, fact, fact.entity.name)
    return qa(question, answer, "canon", language, must)


def untaught(rng: random.Random, language: str, named: bool = False) -> Row:
    """A closed-book question about an entity that nobody taught, which is always `named` or not."""
    attributes = catalogue(language)[1]
    entity = make_entity(rng, rng.choice(list(attributes)), language)
    fact = make_fact(rng, entity, rng.choice(attributes[entity.kind]))
    subject = entity.name
    if not named and language == "en" and entity.kind != "person" and rng.random() < 0.3:
        subject = rng.choice((entity.alias, "my " + entity.alias.removeprefix("the ")))
    question, _ = ask(rng, fact, subject)
    if rng.random() < 0.1:
        question = brief(rng, question, language)
    return qa(question, unknown(rng, language), "unknown", language, UNKNOWN_MUST[language])

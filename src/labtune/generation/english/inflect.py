"""English inflection by rule and table: forms of verbs, plurals of nouns, and back to the lemma."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from labtune.generation.lexicon import load_lexicon, word_set

VOWELS = "aeiou"


@dataclass(frozen=True, slots=True)
class VerbForm:
    """What a surface form can be: its lemma and which of base, s, past, part (participle), ing it is."""

    lemma: str
    forms: frozenset[str]


@cache
def _irregular() -> dict[str, tuple[str, str]]:
    triples = (entry.split(":") for entry in load_lexicon("en_words")["irregular"].split())
    return {lemma: (past, participle) for lemma, past, participle in triples}


@cache
def _plurals() -> dict[str, str]:
    return dict(entry.split(":") for entry in load_lexicon("en_words")["plurals"].split())


@cache
def _singulars() -> dict[str, str]:
    return {plural: singular for singular, plural in _plurals().items()}


def third_person(lemma: str) -> str:
    """He, she, it ...: carry -> carries."""
    if lemma in ("be", "have", "do", "go"):
        return {"be": "is", "have": "has", "do": "does", "go": "goes"}[lemma]
    return _add_s(lemma)


def _add_s(word: str) -> str:
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return word + "es"
    if word.endswith("y") and len(word) > 1 and word[-2] not in VOWELS:
        return word[:-1] + "ies"
    return word + "s"


def past(lemma: str) -> str:
    """Simple past: carry -> carried."""
    return _irregular()[lemma][0] if lemma in _irregular() else _add_ed(lemma)


def participle(lemma: str) -> str:
    """Past participle: take -> taken."""
    return _irregular()[lemma][1] if lemma in _irregular() else _add_ed(lemma)


def _add_ed(lemma: str) -> str:
    if lemma.endswith("e"):
        return lemma + "d"
    if lemma.endswith("y") and lemma[-2:-1] not in VOWELS:
        return lemma[:-1] + "ied"
    if lemma in word_set("en_words", "doubling"):
        return lemma + lemma[-1] + "ed"
    return lemma + "ed"


def gerund(lemma: str) -> str:
    """The -ing form: make -> making."""
    if lemma.endswith("ie"):
        return lemma[:-2] + "ying"
    if lemma.endswith("e") and not lemma.endswith(("ee", "oe", "ye")) and lemma != "be":
        return lemma[:-1] + "ing"
    if lemma in word_set("en_words", "doubling"):
        return lemma + lemma[-1] + "ing"
    return lemma + "ing"


def inflect_verb(lemma: str, form: str) -> str:
    """A form of a verb or of the first word of a phrasal verb (`turn on`)."""
    head, space, tail = lemma.partition(" ")
    rules: dict[str, Callable[[str], str]] = {
        "base": str,
        "s": third_person,
        "past": past,
        "part": participle,
        "ing": gerund,
    }
    return rules[form](head) + space + tail


@cache
def verb_lemmas() -> frozenset[str]:
    """All verbs known: the word list and every verb of the synonym lexicon."""
    lemmas = set(word_set("en_words", "verbs"))
    for group in load_lexicon("en_synonyms")["verb"]:
        lemmas.update(item.strip().partition(" ")[0] for item in group.split(","))
    return frozenset(lemmas)


@cache
def _verb_table() -> dict[str, VerbForm]:
    found: dict[str, tuple[str, set[str]]] = {}
    for lemma in sorted(verb_lemmas() - {"be", "have", "do"}):
        for form in ("base", "s", "past", "part", "ing"):
            surface = inflect_verb(lemma, form)
            owner = found.get(surface)
            if owner is None or (owner[0] != lemma and _prefers(surface, form, owner[1])):
                found[surface] = (lemma, {form})
            elif owner[0] == lemma:
                owner[1].add(form)
    return {surface: VerbForm(lemma, frozenset(forms)) for surface, (lemma, forms) in found.items()}


# Far oftener the past of find, see, lie, feel, wind, grind, leave than a verb of their own.
_PAST_FIRST = frozenset(("found", "saw", "lay", "felt", "wound", "ground", "left"))


def _prefers(surface: str, form: str, held: set[str]) -> bool:
    """True when a surface form that another lemma holds goes to this one."""
    return form in ("past", "part") and ("base" not in held or surface in _PAST_FIRST)


def verb_form(word: str) -> VerbForm | None:
    """What verb form a lower-case word can be, or None."""
    return _verb_table().get(word)


def plural(noun: str) -> str:
    """Plural of a noun or of the last word of a compound."""
    head, space, last = noun.rpartition(" ")
    return head + space + (_plurals().get(last) or _add_s(last))


def singular(word: str) -> str:
    """Singular of a lower-case noun; unchanged when it looks singular."""
    head, space, last = word.rpartition(" ")
    return head + space + _singular(last)


def _singular(word: str) -> str:
    if word in _singulars():
        return _singulars()[word]
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "xes", "sses", "zes")):
        return word[:-2]
    return word[:-1]


def is_plural(word: str) -> bool:
    """True for a lower-case noun that looks plural."""
    if word in _singulars():
        return True
    return len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is"))


def article(word: str) -> str:
    """`a` or `an` for the word that follows."""
    low = word.lower()
    if low.startswith(("uni", "use", "eu", "one", "u-")):
        return "a"
    if low.startswith(("hour", "honest", "honour", "heir")) or (low[:1] in VOWELS):
        return "an"
    return "a"

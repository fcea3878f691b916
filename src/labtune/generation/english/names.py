"""The names of a document's subject, and what a pronoun at the start of a sentence stands for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from labtune.generation.english.clause import Clause, parse_all
from labtune.generation.english.inflect import is_plural, plural, singular
from labtune.generation.english.marks import NAME, NAMES, render
from labtune.generation.english.tag import NAMING, Token, plural_phrase, tag

PRONOUNS = frozenset(("it", "they", "he", "she"))
EXPLETIVE = re.compile(
    r"^It (?:is|was|has been|had been|would be|may be|seems|appears|takes)\b(?: \w+ly| also| often)? ?"
    r"(?:possible|important|likely|unlikely|known|believed|thought|said|hypothes\w+|estimated|unclear|clear|suggested|assumed|"
    r"not (?:known|clear|possible)|easy|hard|difficult|necessary|best|recommended|reported|argued|expected|"
    r"to|that)\b"
)


@dataclass(frozen=True, slots=True)
class Sentence:
    """An analysed sentence: words, clauses and, when it begins with a pronoun, what that stands for.

    `owner` is what a leading possessive (`its`, `their`) stands for.
    """

    text: str
    start: int
    tokens: list[Token]
    clauses: list[Clause]
    referent: tuple[int, int] | None = None
    owner: tuple[int, int] | None = None


@dataclass(slots=True)
class Names:
    """Names of the document's subject: `one` with a singular, `many` with a plural verb."""

    one: list[str] = field(default_factory=list)
    many: list[str] = field(default_factory=list)

    def slot(self, tokens: Sequence[Token]) -> str | None:
        """The slot mark when a noun phrase is one of the names."""
        phrase = " ".join(token.low for token in tokens)
        if phrase in (name.lower() for name in self.one if not name.startswith("my ")):
            return NAME
        if phrase in (name.lower() for name in self.many):
            return NAMES
        return None


def lower_words(text: str) -> frozenset[str]:
    """Words that occur in lower case: a capital at a sentence's start says nothing about them."""
    return frozenset(re.findall(r"(?<![A-Za-z])[a-z][a-z'-]+", text))


def analyse(texts: Sequence[tuple[int, str]], known_lower: frozenset[str]) -> list[Sentence]:
    """Tag and parse the sentences of a document, and resolve leading pronouns to earlier subjects.

    Args:
        texts: (offset in the document, sentence), in order.
        known_lower: see `lower_words`.
    """
    result: list[Sentence] = []
    subject: tuple[int, int, bool] | None = None
    person: tuple[int, int, bool] | None = None
    for start, text in texts:
        tokens = tag(text, known_lower)
        clauses = parse_all(tokens)
        first = tokens[0].low if tokens else ""
        referent = None
        candidate = person if first in ("he", "she") else subject
        if first in PRONOUNS and candidate is not None and not EXPLETIVE.match(text):
            fits = {"it": not candidate[2], "they": candidate[2]}.get(first, not candidate[2])
            referent = (candidate[0], candidate[1]) if fits else None
        owner = _owner(first, subject, person)
        result.append(Sentence(text, start, tokens, clauses, referent, owner))
        if first in PRONOUNS or first in ("its", "their", "his", "her"):
            continue
        subject = _subject_place(start, clauses)
        if subject is not None and all(token.tag == "PROPN" for token in clauses[0].subject):
            person = subject
    return result


_Place = tuple[int, int, bool]


def _owner(first: str, subject: _Place | None, person: _Place | None) -> tuple[int, int] | None:
    place = person if first in ("his", "her") else subject
    if place is None or first not in ("its", "their", "his", "her") or place[2] != (first == "their"):
        return None
    return place[0], place[1]


def _subject_place(start: int, clauses: list[Clause]) -> tuple[int, int, bool] | None:
    if not clauses or clauses[0].imperative or len(clauses[0].subject) > 4:
        return None
    words = clauses[0].subject
    if words[0].tag == "PRON":
        return None
    return start + words[0].start, start + words[-1].end, clauses[0].plural


def find_names(title: str, sentences: Sequence[Sentence]) -> Names:
    """Collect the subject's names from the title, its definition and the nouns used with `the`."""
    names = Names()
    clean = re.sub(r"[:(|–—].*$", "", title.replace("_", " ")).strip()
    key = clean.lower()
    for sentence in sentences[:6]:
        clause = sentence.clauses[0] if sentence.clauses else None
        if clause is None or not clause.copula or not clause.object or clause.object[0].tag not in ("DET",):
            continue
        subject = render(clause.subject, mark=False)
        bare = re.sub(r"^(the|a|an) ", "", subject, flags=re.I)
        if bare.lower() not in key and key not in bare.lower() and sentence is not sentences[0]:
            continue
        _add(names, subject, plural_phrase(list(clause.subject)))
        _add_classes(names, bare, clause, sentences)
        return names
    return names


def _add(names: Names, name: str, many: bool) -> None:
    target = names.many if many else names.one
    if name not in target:
        target.append(name)


def _add_classes(names: Names, bare: str, clause: Clause, sentences: Sequence[Sentence]) -> None:
    counts = _definite_nouns(sentences)
    _add_class_names(names, _class_words(clause), counts)
    words = bare.split()
    last = words[-1].lower()
    if len(words) > 1 and last.isalpha() and words[-1].islower():
        _add(names, f"the {bare.lower() if bare.islower() else bare}", is_plural(last))
        for phrase in (bare, words[-1]):
            if counts[plural(phrase.lower())] or counts[phrase.lower()]:
                _add(names, plural(phrase), True)
                _add(names, f"the {phrase}", False)
    instructions = sum(bool(sentence.clauses) and sentence.clauses[0].imperative for sentence in sentences)
    if instructions > 0.15 * len(sentences):
        for name in list(names.one):
            if name.startswith("the ") and name[4:].islower():
                names.one.append(f"my {name[4:]}")


def _add_class_names(names: Names, complement: list[str], counts: Counter[str]) -> None:
    """`X is a robot vacuum`: the robot, the vacuum, the robot vacuum, where the document says so."""
    for phrase in dict.fromkeys((" ".join(complement[-2:]), *complement[-1:])):
        word = phrase.split()[-1] if phrase else ""
        for noun, used in sorted(counts.items()):
            if word.endswith(singular(noun)) and len(noun) > 3 and used >= 2:
                _add(names, f"the {noun}", is_plural(noun))
        if counts[phrase] >= 1 or counts[word] >= 3:
            _add(names, f"the {phrase}", is_plural(word))


def _class_words(clause: Clause) -> list[str]:
    words: list[str] = []
    for token in clause.object[1:]:
        if token.tag in NAMING:
            words.append(token.low)
        elif words or token.tag in ("PREP", "SUB", "TO"):
            break
    return words


def _definite_nouns(sentences: Sequence[Sentence]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for sentence in sentences:
        tokens = sentence.tokens
        for left, right in pairwise(tokens):
            if left.low in ("the", "these", "this") and right.tag in ("NOUN", "?"):
                counts[right.low] += 1
        for first, second in pairwise(tokens[1:]):
            if first.tag == "NOUN" and second.tag == "NOUN":
                counts[f"{first.low} {second.low}"] += 1
        for token in tokens:
            if token.tag == "NOUN" and is_plural(token.low):
                counts[token.low] += 1
    return counts

"""Search-box questions: varying subsets of the words that carry a fact, as people type them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from labtune.generation.english.clause import Clause
from labtune.generation.english.marks import ADJECTIVE, NOUN, VERB
from labtune.generation.english.tag import Token, noun_phrases
from labtune.generation.lexicon import word_set

_LIGHT = word_set("en_words", "light")

_MOST_WORDS = 7


def keyword_pool(tokens: Sequence[Token], heading: Sequence[str] = ()) -> tuple[str, ...]:
    """Marked content words and compounds of a sentence, then the words of its heading."""
    pool: list[str] = []
    items = [_as_noun(token) for token in tokens]
    for start, end in noun_phrases(items):
        words = [token for token in items[start:end] if token.tag not in ("DET",)]
        if words and not (len(words) == 1 and words[0].tag == "NUM"):
            pool.append(" ".join(_marked(token) for token in words[-3:]))
    for token in items:
        if token.tag == "VERB" and token.lemma not in _LIGHT:
            pool.append(VERB + (token.lemma if token.form in ("s", "base") else token.low))
        elif token.tag == "ADJ" and token.low not in _LIGHT:
            pool.append(ADJECTIVE + token.low)
    for title in heading[-1:]:
        parts = [
            word for word in title.split() if word.lower() not in ("and", "the", "of", "in", "a", "for", "to")
        ]
        pool.append(" ".join(word.lower() if not word.isupper() else word for word in parts[:3]))
    return tuple(dict.fromkeys(word for word in pool if word))


def _as_noun(token: Token) -> Token:
    if token.tag != "?":
        return token
    # `passed` is hardly a thing.
    return replace(token, tag="VERB" if token.form in ("past", "part") else "NOUN")


def _marked(token: Token) -> str:
    if token.tag in ("NOUN", "?") and token.text.islower():
        return NOUN + token.low
    return (ADJECTIVE if token.tag == "ADJ" else "") + (token.low if token.tag != "PROPN" else token.text)


def question_words(clauses: Sequence[Clause], measure: str) -> tuple[str, ...]:
    """Question words that fit the fact: people type `when telescopium named`."""
    words: list[str] = []
    for clause in clauses:
        if clause.imperative:
            words.append("how to")
        kinds = {adjunct.kind for adjunct in clause.adjuncts}
        for kind, word in (
            ("when", "when"),
            ("where", "where"),
            ("why", "why"),
            ("duration", "how long"),
            ("frequency", "how often"),
            ("agent", "who"),
            ("condition", "when"),
            ("purpose", "why"),
        ):
            if kind in kinds:
                words.append(word)
    if measure and measure != "length":
        words.append("how long" if measure == "duration" else "how much")
    return tuple(dict.fromkeys(words))


def _names(word: str) -> bool:
    """True for a search word that names a thing: a noun, a compound, a name."""
    return word[:1] == NOUN or word[:1].isupper() or (" " in word and not word[:1].isdigit())


def keyword_question(
    pool: Sequence[str], spread: Sequence[int], leads: Sequence[str], draw: random.Random
) -> str:
    """One search-box question (marked): two to five words of the pool, at least one that points to the fact.

    Args:
        pool: marked words and compounds in the order of the sentence.
        spread: for each of them, how many passages of the document hold it.
        leads: question words that fit.
        draw: the fact's own generator.
    """
    size = min(len(pool), draw.choice((2, 2, 3, 3, 3, 4, 4, 5)))
    named = [place for place, word in enumerate(pool) if _names(word)] or list(range(len(pool)))
    rarest = min(spread[place] for place in named)
    first = draw.choice([place for place in named if spread[place] <= rarest + 1])
    if size == 2 and " " not in pool[first] and not pool[first][0].isupper():
        # Two plain words fit too many sentences.
        size = min(3, len(pool))
    alone = " " in pool[first] and not any(character.isdigit() for character in pool[first])
    if rarest == 1 and alone and spread[first] == 1 and draw.random() < 0.15:
        size = 1
    places = [first]
    while len(places) < size:
        rest = [place for place in range(len(pool)) if place not in places]
        # Words that stand near each other belong together.
        near = [1 / (spread[place] * (1 + abs(place - first))) for place in rest]
        places.append(draw.choices(rest, near)[0])
    if draw.random() < 0.5:
        places.sort()
    else:
        draw.shuffle(places)
    words = [pool[place] for place in places]
    while len(words) > 1 and sum(len(word.split()) for word in words) > _MOST_WORDS:
        words.pop()
    if leads and draw.random() < 0.3:
        words.insert(0 if draw.random() < 0.7 else len(words), draw.choice(leads))
    return " ".join(words)

"""Tokens, sketches and the similarity join."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labtune.documents.similarity import (
    SKETCH_SIZE,
    SimilarSets,
    Sketcher,
    frequencies,
    jaccard,
    numbers,
    plain,
    sketch_similarity,
    tokens,
)


@pytest.mark.parametrize(
    ("left", "right", "low", "high"),
    [
        ("What is the weight of the robot?", "what is weight of robot", 1.0, 1.0),
        ("Please, what is the weight?", "What is the weight", 1.0, 1.0),
        ("门诊部几点开门？", "请问门诊部是几点开门的呢", 1.0, 1.0),
        ("门诊部几点开门？", "门诊部几点关门？", 0.3, 0.6),
        ("What does the red light mean?", "What does the green light mean?", 0.5, 0.75),
        ("How heavy is it?", "Where do birds live?", 0.0, 0.0),
    ],
)
def test_how_alike_questions_are(left: str, right: str, low: float, high: float) -> None:
    assert low <= jaccard(tokens(left), tokens(right)) <= high


def test_repetitions_count() -> None:
    assert tokens("no no no") == {"no", "no#2", "no#3"}


def test_numbers_keep_their_order() -> None:
    assert numbers("from 3 to 5") != numbers("from 5 to 3")
    assert numbers("１2:30 o'clock, 4.5") == ("12:30", "4.5")


def test_plain_drops_layout_only() -> None:
    assert plain("WHAT  is\nit?") == plain("what is it") != plain("what was it")
    assert plain("3 + 4") != plain("3 - 4")


words = st.sets(st.sampled_from([f"w{i}" for i in range(14)]), min_size=1).map(frozenset)


@given(st.lists(words, min_size=1, max_size=25), words, st.sampled_from([0.3, 0.5, 0.8, 0.95, 1.0]))
def test_the_join_finds_exactly_the_sets_that_are_alike(
    sets: list[frozenset[str]], asked: frozenset[str], threshold: float
) -> None:
    index: SimilarSets[int, str] = SimilarSets(threshold, frequencies(sets))
    for i, items in enumerate(sets):
        index.add(i, items)
    expected = [(i, jaccard(asked, s)) for i, s in enumerate(sets) if jaccard(asked, s) >= threshold]
    assert index.find(asked) == expected


def test_sketches_of_short_texts_are_exact_and_of_long_ones_close() -> None:
    sketcher = Sketcher()
    short = [sketcher.sketch(text) for text in ("what is the weight", "what is the height")]
    assert sketch_similarity(*short) == jaccard(*short)
    base = " ".join(f"word{i}" for i in range(400))
    changed = base.replace("word39", "other39")
    left, right = sketcher.sketch(base), sketcher.sketch(changed)
    assert len(left) == SKETCH_SIZE

    def shingles(text: str) -> frozenset[str]:
        return frozenset(text[i : i + 4] for i in range(len(text) - 3))

    truth = jaccard(shingles(plain(base)), shingles(plain(changed)))
    assert sketch_similarity(left, right) == pytest.approx(truth, abs=0.1)
    assert sketch_similarity(left, sketcher.sketch("nothing of the kind")) == 0.0

"""What a teacher is asked: every passage, then what nothing states yet, with other examples each time."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from curated_text import MANUAL, context_of, document_of, leaf_of

from labtune.generation.draws import FOCUS, Draws
from labtune.types import Chunk, SeedExample, Source

SEEDS = tuple(
    SeedExample(f"s{i}", f"Q{i}?", f"A{i}", None, Source("qna.yaml", i), held_out=i == 0) for i in range(7)
)
LEAF = leaf_of("knowledge/kettle", seeds=SEEDS)


def _chunks(folder: Path) -> tuple[Chunk, ...]:
    return context_of(document_of(folder, MANUAL)).chunks


def test_the_first_round_takes_every_passage_and_never_shows_held_out_seeds(tmp_path: Path) -> None:
    chunks = _chunks(tmp_path)
    draws = Draws(LEAF, chunks, examples=3, seed=1).first_round(0)
    assert [draw.chunk for draw in draws] == list(chunks)
    assert all(len({seed.id for seed in draw.examples} - {"s0"}) == 3 for draw in draws)
    assert all(draw.focus == () for draw in draws)


def test_uncovered_sentences_come_first_and_covered_ones_not_at_all(tmp_path: Path) -> None:
    chunks = _chunks(tmp_path)
    first = chunks[0]
    draws = Draws(LEAF, chunks, examples=3, seed=1)
    draws.first_round(0)
    stated = {first.document_id: set(first.sentences[:FOCUS])}
    (chosen,) = draws.next_round(1, 1, stated)
    # A passage of which nothing is stated ranks before one that is stated in part.
    assert chosen.chunk is not None
    assert chosen.chunk.id != first.id or len(chunks) == 1
    open_ones = draws.open_round(2, stated)
    windows = [draw for draw in open_ones if draw.chunk == first]
    assert [draw.focus for draw in windows[:2]] == [first.sentences[3:6], first.sentences[6:9]]
    asked = [place for draw in windows for place in draw.focus]
    assert set(asked) == set(first.sentences[FOCUS:])
    # In threes, then each alone, and never again.
    assert len(asked) == 2 * len(set(asked))
    assert draws.open_round(3, stated) == []


def test_the_same_request_is_the_same_whatever_came_before(tmp_path: Path) -> None:
    chunks = _chunks(tmp_path)
    one, other = (Draws(LEAF, chunks, examples=3, seed=1) for _ in range(2))
    rows = [*one.first_round(0), *one.next_round(1, 30, {})]
    others = [*other.first_round(20), *other.next_round(1, 5, {chunks[0].document_id: {(0, 400)}})]
    by_key = {draw.key: (draw.examples, draw.focus) for draw in rows}
    shared = [draw for draw in others if draw.key in by_key]
    assert len(shared) > 10
    assert all(by_key[draw.key] == (draw.examples, draw.focus) for draw in shared)
    assert len(by_key) == len(rows)


def test_examples_vary_while_there_are_other_ones(tmp_path: Path) -> None:
    skill = leaf_of("compositional_skills/x", kind="compositional_skill", seeds=SEEDS)
    draws = Draws(skill, (), examples=3, seed=1).first_round(20)
    shown = [frozenset(seed.id for seed in draw.examples) for draw in draws]
    assert all(left != right for left, right in pairwise(shown))
    assert len(set(shown)) >= 18
    assert all(draw.chunk is None for draw in draws)
    other = [
        frozenset(s.id for s in d.examples) for d in Draws(skill, (), examples=3, seed=2).first_round(20)
    ]
    assert other != shown


def test_a_leaf_without_open_seeds_is_asked_without_examples(tmp_path: Path) -> None:
    leaf = leaf_of("knowledge/kettle", seeds=SEEDS[:1])
    assert {draw.examples for draw in Draws(leaf, _chunks(tmp_path), examples=3, seed=1).first_round(9)} == {
        ()
    }

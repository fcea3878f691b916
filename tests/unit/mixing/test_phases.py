"""Small leaves are brought to their floor by repeating rows, no further than asked."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samplesets import knowledge, run_mix, sample, skills

from labtune.mixing.messages import write_chats
from labtune.mixing.phases import LEAVES_SHARE, floors
from labtune.mixing.sources import SourceFile


def test_floors_are_shares_of_the_grown_phase() -> None:
    assert floors({"a": 900, "b": 100}, 0, 0.05) == {}
    grown = floors({"a": 900, "b": 50}, 0, 0.1)
    assert grown == {"b": pytest.approx(100)}
    assert grown["b"] / (900 + grown["b"]) == pytest.approx(0.1)
    # Raising b makes c, which was at its floor before, too small.
    assert set(floors({"a": 1000, "b": 1, "c": 115}, 0, 0.1)) == {"b", "c"}
    assert floors({"a": 100}, 9900, 0.03) == {"a": pytest.approx(9900 * 0.03 / 0.97)}


@given(
    st.dictionaries(st.text(min_size=1, max_size=3), st.integers(1, 10_000), min_size=1, max_size=60),
    st.integers(0, 1_000_000),
    st.floats(0, 0.99),
)
def test_no_leaf_is_below_its_floor_and_no_large_one_is_touched(
    tokens: dict[str, int], others: int, floor: float
) -> None:
    wanted = floors(tokens, others, floor)
    share = min(floor, (LEAVES_SHARE if others else 1) / len(tokens))
    grown = {leaf: wanted.get(leaf, n) for leaf, n in tokens.items()}
    total = others + sum(grown.values())
    assert all(n >= tokens[leaf] - 1e-6 for leaf, n in grown.items())
    assert all(n >= share * total * (1 - 1e-6) for n in grown.values())
    assert all(wanted[leaf] == pytest.approx(share * total) for leaf in wanted)


def leaf_of(n: int, leaf: str) -> list:  # type: ignore[type-arg]
    return [
        sample(
            f"{leaf}-{row.id}",
            f"{leaf}: {row.messages[0].content}",
            f"{row.messages[1].content} ({leaf})",
            leaf=leaf,
            kind="compositional_skill",
            grounded=False,
        )
        for row in skills(n)
    ]


def test_a_small_leaf_is_repeated_up_to_the_floor(tmp_path: Path) -> None:
    rows = [*leaf_of(300, "skills/big"), *leaf_of(10, "skills/small")]
    mixed = run_mix(tmp_path, rows, leaf_floor=0.1, max_repeats=20)
    placed = mixed.rows("skills")
    tokens = {
        leaf: sum(r["n_tokens"] for r in placed if r["leaf"] == leaf)
        for leaf in ("skills/big", "skills/small")
    }
    assert tokens["skills/small"] / sum(tokens.values()) == pytest.approx(0.1, abs=0.005)
    assert len({row["id"] for row in placed}) == len(placed)
    small = [row for row in placed if row["leaf"] == "skills/small"]
    uses = [
        sum(r["metadata"]["sample"] == name for r in small)
        for name in {r["metadata"]["sample"] for r in small}
    ]
    assert len(uses) == 10
    assert max(uses) - min(uses) <= 1
    [raised] = mixed.report["raised"]
    assert (raised["phase"], raised["leaf"]) == ("skills", "skills/small")
    assert raised["reached"] == tokens["skills/small"]
    assert raised["reached"] == pytest.approx(raised["wanted"], abs=10)
    assert len([row for row in placed if row["leaf"] == "skills/big"]) == 300


def test_no_row_comes_more_often_than_allowed(tmp_path: Path) -> None:
    rows = [*leaf_of(300, "skills/big"), *leaf_of(2, "skills/small")]
    mixed = run_mix(tmp_path, rows, leaf_floor=0.2, max_repeats=5)
    assert sum(row["leaf"] == "skills/small" for row in mixed.rows("skills")) == 10
    [raised] = mixed.report["raised"]
    assert raised["reached"] < raised["wanted"]


def test_without_sources_nothing_is_repeated_unless_asked(tmp_path: Path) -> None:
    rows = [*leaf_of(300, "skills/big"), *leaf_of(2, "skills/small")]
    mixed = run_mix(tmp_path, rows)
    assert len(mixed.rows("skills")) == 302
    assert mixed.report["raised"] == []


def test_sources_do_not_drown_a_leaf(tmp_path: Path) -> None:
    chats = [
        [{"content": f"Say {n}.", "role": "user"}, {"content": f"{n}, I say.", "role": "assistant"}]
        for n in range(2000)
    ]
    write_chats(tmp_path / "s.jsonl", [{"messages": chat} for chat in chats])
    mixed = run_mix(
        tmp_path / "mix",
        [*leaf_of(20, "skills/small"), *knowledge(5, "short")],
        sources=[SourceFile("s.jsonl", tmp_path / "s.jsonl")],
        replay=False,
    )
    rows = mixed.rows("skills")
    small = sum(row["n_tokens"] for row in rows if row["leaf"] == "skills/small")
    assert small / sum(row["n_tokens"] for row in rows) == pytest.approx(0.03, abs=0.002)
    assert sum(row["origin"] == "source" for row in rows) == 2000

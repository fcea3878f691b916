"""Which questions noise changes, how, and that the same seed draws the same noise; answers stay."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from samplesets import ASPECTS, THINGS, Mixed, count_words, general, knowledge, run_mix, sample, skills

from labtune.documents.words import split_words
from labtune.mixing.general import GeneralRow
from labtune.mixing.messages import write_chats
from labtune.mixing.sources import SourceFile
from labtune.types import Chunk, Message, Sample, Source

ALL = [*knowledge(300, "short"), *knowledge(120, "long", "old "), *skills(60)]
FOREIGN = [
    GeneralRow(
        f"other-{word}",
        (Message("user", f"Whoever likes {word} soup?"), Message("assistant", f"I like {word}.")),
        "chat",
        "en",
    )
    for word in ("green", "fish", "onion", "pea")
]
GENERAL = [*general(900), *FOREIGN]
WORDS = {word for row in ALL for word in split_words(row.messages[0].content)}


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Mixed:
    return run_mix(tmp_path_factory.mktemp("clean"), ALL, general_rows=GENERAL)


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Mixed:
    return run_mix(tmp_path_factory.mktemp("noisy"), ALL, general_rows=GENERAL, question_noise=0.7)


def _all(mixed: Mixed) -> list[dict]:  # type: ignore[type-arg]
    return [row for phase in mixed.dataset.phases() for row in mixed.rows(phase)]


def test_without_noise_no_row_says_anything_of_it(clean: Mixed) -> None:
    assert not any("noise" in row["metadata"] for row in _all(clean))
    assert not any("noisy" in part for phase in clean.report["phases"].values() for part in phase["parts"])
    assert "noise" not in clean.outcome.summary


def test_the_share_of_the_knowledge_questions_gets_noise_and_answers_stay(noisy: Mixed) -> None:
    made = {row.id: row for row in ALL}
    changed = Counter[bool]()
    for row in _all(noisy):
        if row["origin"] == "general_replay":
            continue
        original = made[row["metadata"]["sample"]]
        asked, answered = row["messages"]
        assert answered["content"] == original.messages[1].content
        same = asked["content"] == original.messages[0].content
        if original.kind == "knowledge":
            assert row["metadata"]["noise"] or same
            changed[row["metadata"]["noise"]] += 1
        else:
            assert same
            assert not row["metadata"]["noise"]
    assert changed[True] / changed.total() == pytest.approx(0.7, abs=0.05)
    told = sum(part["noisy"] for phase in noisy.report["phases"].values() for part in phase["parts"])
    assert noisy.outcome.counts["noisy"] == told == changed[True]
    assert f"noise in {told} questions" in noisy.outcome.summary


def test_skills_that_choose_among_answers_get_noise_and_no_others(tmp_path: Path) -> None:
    def ask(name: str, text: str, answer: str, line: int) -> Sample:
        seed = Source("skills/b/qna.yaml", line)
        return sample(
            name, text, answer, leaf="skills/b", kind="compositional_skill", grounded=False, seed=seed
        )

    chosen = [
        ask(f"fixed-{n}", f"Close my {thing} letter about the {aspect}.", "Kind regards.", n)
        for n, (thing, aspect) in enumerate(itertools.product(THINGS[:20], ASPECTS[:4]))
    ]
    own = [
        ask(f"own-{n}", f"Praise the {thing} highly.", f"Great {thing}!", n) for n, thing in enumerate(THINGS)
    ]
    # Two wordings of one seed prove no choice.
    own += [
        ask(f"two-{n}", f"Blame the {thing} a {n} times.", "Shame.", 500) for n, thing in enumerate(THINGS)
    ]
    # The same answer as that of plain requests, behind a text.
    behind = [
        ask(f"text-{n}", f"It broke.\n\nIs the {thing} fine?", "Kind regards.", n)
        for n, thing in enumerate(THINGS)
    ]
    samples = [*chosen, *own, *behind]
    mixed = run_mix(
        tmp_path, samples, general_rows=FOREIGN, question_noise=0.7, recipe="single", near_duplicate=1.0
    )
    made = {row.id: row.messages[0].content for row in samples}
    changed: dict[str, list[bool]] = {}
    for row in mixed.rows("single"):
        if row["origin"] == "sample":
            kind = row["metadata"]["sample"].split("-")[0]
            same = row["messages"][0]["content"] == made[row["metadata"]["sample"]]
            assert row["metadata"]["noise"] or same
            changed.setdefault(kind, []).append(row["metadata"]["noise"])
    assert set(changed) == {"fixed", "own", "two", "text"}
    assert sum(changed["fixed"]) / len(changed["fixed"]) == pytest.approx(0.7, abs=0.15)
    assert not any(changed["own"] + changed["two"] + changed["text"])


def test_general_questions_with_an_answer_of_several_have_their_words_moved(tmp_path: Path) -> None:
    def chats(name: str, asked: Iterable[str], answer: str) -> list[GeneralRow]:
        said = Message("assistant", answer)
        return [
            GeneralRow(f"{name}-{n:03}", (Message("user", text), said), "world", "en")
            for n, text in enumerate(asked)
        ]

    pairs = list(itertools.product(ASPECTS, THINGS[:10]))
    named = chats("moved", (f"who knows the {a} of this {t} best" for a, t in pairs), "The smith.")
    sums = chats("sums", (f"take the {a} 7 from the {t} 9" for a, t in pairs), "Two.")
    texts = chats("texts", (f"The {t} has no {a}.\n\nWhat lacks the {t}?" for a, t in pairs), "The smith.")
    rows = [*FOREIGN, *named, *sums, *texts]
    mixed = run_mix(
        tmp_path,
        ALL,
        general_rows=rows,
        question_noise=1.0,
        general_share=0.65,
        near_duplicate=1.0,
        recipe="single",
    )
    made = {row.id: row.messages[0].content for row in rows}
    changed: dict[str, list[bool]] = {}
    for row in mixed.rows("single"):
        if row["origin"] != "general_replay":
            continue
        kind, noise = row["id"].split("-")[0], row["metadata"]["noise"]
        before, after = made[row["metadata"]["sample"]], row["messages"][0]["content"]
        changed.setdefault(kind, []).append(noise)
        if not noise:
            assert after == before
        elif kind == "moved":
            assert sorted(after.split()) == sorted(before.split())
            assert after != before
        else:
            assert before in after
            assert len(after) > len(before)
    assert sum(changed["moved"]) / len(changed["moved"]) == pytest.approx(0.5, abs=0.1)
    assert sum(changed["sums"]) / len(changed["sums"]) == pytest.approx(0.5, abs=0.1)
    assert not any(changed["texts"] + changed["other"])


def test_general_rows_with_answers_of_their_own_are_those_without_noise(clean: Mixed, noisy: Mixed) -> None:
    def asked(mixed: Mixed) -> set[str]:
        return {row["messages"][0]["content"] for row in _all(mixed) if row["origin"] == "general_replay"}

    known = {row.messages[0].content for row in GENERAL}
    assert asked(noisy) <= known
    assert len(asked(noisy) & asked(clean)) > 0.9 * len(asked(clean))


def test_words_are_left_out_moved_and_put_in(noisy: Mixed) -> None:
    made = {row.id: split_words(row.messages[0].content) for row in ALL}
    # The other general questions hold numbers, and pieces of sums would teach that they are asked for facts.
    foreign = {word for row in FOREIGN for word in split_words(row.messages[0].content)}
    left_out = put_in = moved = of = 0
    for row in _all(noisy):
        if not row["metadata"]["noise"]:
            continue
        before, after = made[row["metadata"]["sample"]], split_words(row["messages"][0]["content"])
        own = [word for word in after if word in before]
        assert own
        assert set(after) <= set(before) | foreign
        of += 1
        left_out += len(own) < len(before)
        put_in += len(own) < len(after)
        moved += own != [word for word in before if word in own]
    assert min(left_out, put_in, moved) > of / 4
    assert max(left_out, moved) < of


def test_token_counts_are_those_of_the_rows_as_written(noisy: Mixed) -> None:
    rows = _all(noisy)
    counted = count_words([[Message(**turn) for turn in row["messages"]] for row in rows])
    assert [row["n_tokens"] for row in rows] == counted
    for phase in noisy.dataset.phases():
        tokens = Counter[str]()
        for row in noisy.rows(phase):
            tokens[row["origin"]] += row["n_tokens"]
        assert tokens["general_replay"] / tokens.total() == pytest.approx(0.3, abs=0.02)


def test_noise_depends_on_seed_and_row_only(noisy: Mixed, tmp_path: Path) -> None:
    again = run_mix(tmp_path / "a", ALL[::-1], general_rows=GENERAL, question_noise=0.7)
    assert again.files() == noisy.files()
    fewer = run_mix(tmp_path / "b", ALL[:-5], general_rows=GENERAL, question_noise=0.7, recipe="single")
    all_rows = run_mix(tmp_path / "c", ALL, general_rows=GENERAL, question_noise=0.7, recipe="single")
    kept = {row["id"]: row["messages"] for row in fewer.rows("single") if row["origin"] == "sample"}
    assert kept.items() <= {row["id"]: row["messages"] for row in all_rows.rows("single")}.items()
    other = run_mix(tmp_path / "d", ALL, general_rows=GENERAL, question_noise=0.7, seed=2)
    assert other.questions() != noisy.questions()


def test_a_row_that_is_replayed_is_asked_in_another_way(noisy: Mixed) -> None:
    first = {r["metadata"]["sample"]: r["messages"][0] for r in noisy.rows("knowledge-short")}
    again = [
        (first[r["metadata"]["sample"]], r["messages"][0])
        for r in noisy.rows("knowledge-long")
        if r["origin"] == "phase_replay" and r["metadata"]["noise"]
    ]
    assert again
    assert sum(before != after for before, after in again) > 0.9 * len(again)


def test_chinese_questions_lose_and_gain_characters_and_keep_their_order(tmp_path: Path) -> None:
    asked = [
        f"门诊的{thing}可以何时取消"
        for thing in ("预约", "检查", "手术", "登记", "接种", "化验", "取药", "住院")
    ]
    samples = [replace(sample(f"s{n}", text, "提前一天。"), language="zh") for n, text in enumerate(asked)]
    rows = [
        GeneralRow(
            "general-1", (Message("user", "长城在哪里？"), Message("assistant", "北方。")), "geo", "zh"
        ),
        GeneralRow("general-2", (Message("user", "Where?"), Message("assistant", "There.")), "geo", "en"),
    ]
    mixed = run_mix(
        tmp_path, samples, general_rows=rows, question_noise=1.0, near_duplicate=1.0, replay=False
    )
    placed = mixed.rows("knowledge-short")
    assert len(placed) == len(asked)
    for row in placed:
        text = row["messages"][0]["content"]
        own = "".join(c for c in text if c not in "长城在哪里？")
        original = asked[int(row["metadata"]["sample"][1:])]
        assert " " not in text
        assert own == "".join(c for c in original if c in own)
    assert mixed.questions().isdisjoint(asked)


def test_without_general_questions_of_the_language_no_word_is_put_in(tmp_path: Path) -> None:
    mixed = run_mix(tmp_path, ALL, question_noise=1.0)
    assert all(row["metadata"]["noise"] for row in mixed.rows("knowledge-short"))
    assert {w for q in mixed.questions() for w in split_words(q)} <= WORDS


def test_passages_and_sources_are_never_disturbed(tmp_path: Path) -> None:
    text = "A passage that tells it all."
    chunk = Chunk(
        id="chunk1",
        document_id="doc1",
        uri="manual.md",
        leaf="knowledge/a",
        text=text,
        start=0,
        end=len(text),
        n_tokens=6,
        sentences=((0, len(text)),),
    )
    path = tmp_path / "other.jsonl"
    own = "Which rows of mine stay as they were written?"
    write_chats(
        path, [{"messages": [{"role": "user", "content": own}, {"role": "assistant", "content": "All."}]}]
    )
    mixed = run_mix(
        tmp_path / "lab",
        ALL,
        chunks=[chunk],
        sources=[SourceFile("other.jsonl", path, role="knowledge")],
        question_noise=1.0,
        document_share=1.0,
        raft_share=1.0,
    )
    asked = mixed.questions()
    assert own in asked
    made = {row.messages[0].content for row in ALL}
    behind = [q for q in asked if chunk.text in q]
    assert behind
    assert all(any(original in q for original in made) for q in behind)

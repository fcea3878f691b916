from pathlib import Path

import pytest
from curated_text import MANUAL, POLICY_ZH, curated_of, document_of, leaf_of

from labtune.artifact import SampleSet, read_json
from labtune.config.lab import GenerateConfig
from labtune.errors import GenerationError
from labtune.generation.generate import generate
from labtune.types import Json, RunContext, SeedExample, Source

SMALL = GenerateConfig(phrasings=12, skill_variants=8)


def _seed(
    number: int, question: str, answer: str, context: str | None = None, held_out: bool = False
) -> SeedExample:
    return SeedExample(f"s{number}", question, answer, context, Source("qna.yaml", number), held_out)


class _Events(list[tuple[str, dict[str, Json]]]):
    def __call__(self, event: str, fields: object) -> None:
        self.append((event, dict(fields)))  # type: ignore[call-overload]

    def of(self, event: str) -> list[dict[str, Json]]:
        return [fields for name, fields in self if name == event]


def _run(root: Path, name: str, events: _Events | None = None) -> RunContext:
    return RunContext(root / name, root / "cache", emit=events if events is not None else _Events())


SKILL = leaf_of(
    "compositional_skills/closing",
    kind="compositional_skill",
    seeds=(
        _seed(1, "Write a closing line for a late parcel.", "We are sorry for the wait."),
        _seed(2, "Write a closing line for a refund.", "Your money is on its way.", held_out=True),
        _seed(3, "Find the order number.", "A-17", context="My order A-17 is late."),
    ),
)
MANUAL_LEAF = leaf_of(
    "knowledge/kettle",
    seeds=(
        _seed(1, "What does the kettle weigh, please?", "The kettle weighs 1.2 kg."),
        _seed(2, "How heavy is the kettle?", "It is 1.2 kg.", held_out=True),
    ),
)
POLICY_LEAF = leaf_of("knowledge/library", "zh")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> tuple[SampleSet, _Events, Path]:
    root = tmp_path_factory.mktemp("stage")
    curated = curated_of(
        root / "curated",
        {
            SKILL: None,
            MANUAL_LEAF: document_of(root, MANUAL, "kettle.md"),
            POLICY_LEAF: document_of(root, POLICY_ZH, "library.md"),
        },
    )
    events = _Events()
    generate(curated, config=SMALL, run=_run(root, "out", events), teacher="builtin")
    return SampleSet(root / "out"), events, root


def test_samples_carry_their_lineage(stage: tuple[SampleSet, _Events, Path]) -> None:
    samples = [sample for sample in stage[0].samples() if sample.leaf == "knowledge/kettle"]
    quoted = [sample for sample in samples if sample.form not in ("seed", "seed_variant")]
    assert quoted and all(sample.grounding and sample.chunk_id and sample.fact for sample in quoted)
    assert {sample.grounding[0].uri for sample in quoted} == {"kettle.md"}
    assert {(sample.pipeline, sample.teacher) for sample in samples} == {("builtin", "builtin")}
    assert len({sample.id for sample in samples}) == len(samples)


def test_the_share_of_questions_for_short_answers_is_a_setting(
    stage: tuple[SampleSet, _Events, Path], tmp_path: Path
) -> None:
    def quoted(samples: SampleSet, length: str) -> set[str]:
        return {
            sample.id
            for sample in samples.samples()
            if sample.leaf == "knowledge/kettle"
            and sample.length == length
            and sample.form not in ("seed", "seed_variant")
        }

    curated = curated_of(tmp_path / "in", {MANUAL_LEAF: document_of(tmp_path, MANUAL, "kettle.md")})
    without = SMALL.model_copy(update={"short_share": 0.0})
    generate(curated, config=without, run=_run(tmp_path, "out"), teacher="builtin")
    assert quoted(stage[0], "short")
    assert not quoted(SampleSet(tmp_path / "out"), "short")
    assert quoted(SampleSet(tmp_path / "out"), "long") == quoted(stage[0], "long")


def test_held_out_seeds_appear_nowhere(stage: tuple[SampleSet, _Events, Path]) -> None:
    contents = [message.content for sample in stage[0].samples() for message in sample.messages]
    assert not any(
        "closing line for a refund" in content or "money is on its way" in content for content in contents
    )
    assert "How heavy is the kettle?" not in contents
    assert not any(content == "It is 1.2 kg." for content in contents)


def test_seeds_that_are_not_held_out_become_samples(stage: tuple[SampleSet, _Events, Path]) -> None:
    seeds = {sample.messages[0].content for sample in stage[0].samples() if sample.form == "seed"}
    assert "What does the kettle weigh, please?" in seeds
    assert "Write a closing line for a late parcel." in seeds


def test_a_leaf_with_all_seeds_held_out_learns_from_the_document_only(tmp_path: Path) -> None:
    seeds = (_seed(1, "How long is the cord of it?", "A cord of 75 cm, said a person.", held_out=True),)
    leaf = leaf_of("knowledge/kettle", seeds=seeds)
    generate(
        curated_of(tmp_path / "c", {leaf: document_of(tmp_path, MANUAL)}),
        config=SMALL,
        run=_run(tmp_path, "out"),
        teacher="builtin",
    )
    samples = list(SampleSet(tmp_path / "out").samples())
    assert samples and all(sample.grounding for sample in samples)
    assert not any("said a person" in sample.messages[-1].content for sample in samples)


def test_instruction_variants_keep_the_answer_and_the_context(stage: tuple[SampleSet, _Events, Path]) -> None:
    grounded = [sample for sample in stage[0].samples() if sample.messages[-1].content == "A-17"]
    assert len(grounded) == 1 + SMALL.skill_variants
    assert grounded[0].messages[0].content == "My order A-17 is late.\n\nFind the order number."
    assert all("My order A-17 is late." in sample.messages[0].content for sample in grounded)
    assert len({sample.messages[0].content for sample in grounded}) == len(grounded)


def test_skills_come_with_a_notice_about_the_teacher(stage: tuple[SampleSet, _Events, Path]) -> None:
    notices = {notice["leaf"]: str(notice["text"]) for notice in stage[1].of("notice")}
    assert "needs a teacher model" in notices["compositional_skills/closing"]
    assert stage[1].of("progress")[-1]["done"] == 3
    assert stage[1].of("sample")


def test_the_funnel_adds_up(stage: tuple[SampleSet, _Events, Path]) -> None:
    funnel = read_json(stage[2] / "out" / "funnel.json")["knowledge/kettle"]
    dropped = sum(count for name, count in funnel.items() if name.startswith("rejected:"))
    from_seeds = sum(funnel["forms"].get(form, 0) for form in ("seed", "seed_variant"))
    assert funnel["kept"] == funnel["produced"] - dropped + from_seeds
    assert funnel["asked"] >= funnel["produced"] - funnel["facts"] * SMALL.phrasings
    rejected = [row for row in stage[0].rejections() if row.leaf == "knowledge/kettle"]
    assert len(rejected) == dropped


def test_coverage_lists_what_no_sample_states(stage: tuple[SampleSet, _Events, Path]) -> None:
    coverage = read_json(stage[2] / "out" / "coverage.json")["knowledge/kettle"]
    stated = coverage["sentences_stated"] + coverage["cells_stated"]
    assert coverage["share"] == stated / (coverage["sentences"] + coverage["cells"]) >= 0.95
    assert coverage["cells"] == 4


def test_an_edited_leaf_alone_is_made_again(tmp_path: Path) -> None:
    kettle, library = document_of(tmp_path, MANUAL, "a.md"), document_of(tmp_path, POLICY_ZH, "b.md")
    curated = curated_of(tmp_path / "one", {MANUAL_LEAF: kettle, POLICY_LEAF: library})
    outcome = generate(curated, config=SMALL, run=_run(tmp_path, "first"), teacher="builtin")
    assert outcome.counts["leaves_from_cache"] == 0
    edited = document_of(tmp_path, MANUAL.replace("1.2 kg", "1.3 kg"), "a.md")
    curated = curated_of(tmp_path / "two", {MANUAL_LEAF: edited, POLICY_LEAF: library})
    events = _Events()
    generate(curated, config=SMALL, run=_run(tmp_path, "second", events), teacher="builtin")
    assert {row["leaf"]: row["cached"] for row in events.of("leaf")} == {
        "knowledge/kettle": False,
        "knowledge/library": True,
    }
    first = [row for row in SampleSet(tmp_path / "first").samples() if row.leaf == "knowledge/library"]
    assert first == [
        row for row in SampleSet(tmp_path / "second").samples() if row.leaf == "knowledge/library"
    ]


def test_a_damaged_cache_entry_is_made_again(tmp_path: Path) -> None:
    curated = curated_of(tmp_path / "c", {POLICY_LEAF: document_of(tmp_path, POLICY_ZH)})
    generate(curated, config=SMALL, run=_run(tmp_path, "first"), teacher="builtin")
    entry = next((tmp_path / "cache" / "generate").iterdir())
    entry.write_bytes(entry.read_bytes()[:-200])
    outcome = generate(curated, config=SMALL, run=_run(tmp_path, "second"), teacher="builtin")
    assert outcome.counts["leaves_from_cache"] == 0
    files = [(tmp_path / name / "samples.jsonl").read_bytes() for name in ("first", "second")]
    assert files[0] == files[1]


def test_a_leaf_below_its_floor_is_named_with_step_and_cause(tmp_path: Path) -> None:
    leaf = leaf_of("compositional_skills/empty", kind="compositional_skill")
    with pytest.raises(GenerationError) as caught:
        generate(
            curated_of(tmp_path / "c", {leaf: None}),
            config=SMALL,
            run=_run(tmp_path, "out"),
            teacher="builtin",
        )
    assert (
        "compositional_skills/empty ended with 0 samples, fewer than 1: step 'seeds'" in caught.value.message
    )


def test_leaves_that_give_too_little_are_named_after_all_leaves_are_done(tmp_path: Path) -> None:
    empty = [
        leaf_of(f"compositional_skills/{name}", kind="compositional_skill", seeds=()) for name in ("a", "z")
    ]
    run = _run(tmp_path, "out")
    with pytest.raises(GenerationError) as caught:
        generate(
            curated_of(tmp_path / "c", {empty[0]: None, SKILL: None, empty[1]: None}),
            config=SMALL,
            run=run,
            teacher="builtin",
        )
    assert "compositional_skills/a ended" in caught.value.message
    assert "compositional_skills/z ended" in caught.value.message
    assert "1 other leaf is done and kept" in caught.value.message
    funnel = read_json(run.out_dir / "funnel.json")
    assert {path: entry["kept"] > 0 for path, entry in funnel.items()} == {
        "compositional_skills/a": False,
        SKILL.path: True,
        "compositional_skills/z": False,
    }


def test_a_skill_that_is_only_examined_is_no_failure(tmp_path: Path) -> None:
    seeds = (_seed(1, "Write.", "Text.", held_out=True),)
    leaf = leaf_of("compositional_skills/exam", kind="compositional_skill", seeds=seeds)
    outcome = generate(
        curated_of(tmp_path / "c", {leaf: None}), config=SMALL, run=_run(tmp_path, "out"), teacher="builtin"
    )
    assert outcome.counts["samples"] == 0


def test_low_coverage_is_reported_and_named(tmp_path: Path) -> None:
    config = SMALL.model_copy(update={"coverage_floor": 1.0})
    document = document_of(tmp_path, "The lid is red.\n\n.\n\nThe base of the kettle weighs 2 kg.\n")
    curated = curated_of(tmp_path / "c", {MANUAL_LEAF: document})
    outcome = generate(curated, config=config, run=_run(tmp_path, "out"), teacher="builtin")
    share = read_json(tmp_path / "out" / "coverage.json")["knowledge/kettle"]["share"]
    assert (outcome.counts["leaves_below_coverage"] == ["knowledge/kettle"]) == (share < 1.0)

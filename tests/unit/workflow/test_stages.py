from labtune.workflow.stages import STAGE_NAMES, STAGES


def test_every_stage_reads_only_what_an_earlier_row_emits() -> None:
    emitted: set[str] = set()
    for stage in STAGES:
        assert set(stage.inputs) <= emitted, stage.name
        emitted.add(stage.name)
    assert STAGE_NAMES == ("curate", "generate", "mix", "train", "evaluate")


def test_every_stage_has_its_function() -> None:
    for stage in STAGES:
        assert stage.load().__name__ == stage.name

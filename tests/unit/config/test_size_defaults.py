"""Defaults by the student's size and the data: below everything that is set, each with a source."""

from pathlib import Path

import pytest

from labtune.config.defaults import Facts, defaults_for, short_number
from labtune.config.layers import load


def values(**facts) -> dict[str, float]:
    return {key: found.value for key, found in defaults_for(Facts(**facts)).items()}


@pytest.mark.parametrize(
    ("parameters", "method", "rate"),
    [
        (360_000_000, "full", 3e-4),
        (1_240_000_000, "full", 1e-4),
        (8_030_000_000, "full", 2e-5),
        (70_600_000_000, "full", 2e-6),
        (1_240_000_000, "lora", 1e-3),
        (8_030_000_000, "dora", 2e-4),
        (70_600_000_000, "qlora", 1e-4),
        (8_030_000_000, "osft", 5e-6),
    ],
)
def test_the_learning_rate_follows_size_and_method(parameters: int, method: str, rate: float) -> None:
    assert values(parameters=parameters, method=method)["train.learning_rate"] == rate


def test_passes_and_rows_a_step_follow_the_data() -> None:
    small = values(parameters=3_000_000_000, method="full", rows=2_000, tokens_per_row=100.0)
    large = values(parameters=3_000_000_000, method="full", rows=400_000, tokens_per_row=100.0)
    huge = values(parameters=3_000_000_000, method="full", rows=2_000_000, tokens_per_row=300.0)
    assert [small[f"train.epochs_{name}"] for name in ("short", "long", "skills")] == [7, 7, 10]
    assert [large[f"train.epochs_{name}"] for name in ("short", "long", "skills")] == [4, 4, 7]
    assert [huge[f"train.epochs_{name}"] for name in ("short", "long", "skills")] == [2, 2, 2]
    assert small["train.batch_tokens"] == 3072  # 32 rows of 100 tokens, in packs of 256
    assert large["train.batch_tokens"] == 384_000
    tiny = values(parameters=3_000_000_000, method="lora", rows=500, tokens_per_row=20.0)
    assert tiny["train.batch_tokens"] == 1024
    assert tiny["train.lora.rank"] == 16
    assert values(parameters=3_000_000_000, method="lora", rows=300_000)["train.lora.rank"] == 256


def test_what_the_facts_do_not_decide_is_left_to_the_schema() -> None:
    known = values(parameters=3_000_000_000, method="full")
    assert set(known) == {"train.learning_rate", "mix.general_share"}
    assert "train.lora.rank" not in values(parameters=1, method="full", rows=10, tokens_per_row=1.0)


def test_every_default_has_a_source() -> None:
    for method in ("full", "lora", "osft"):
        for parameters in (10**8, 10**9, 10**10, 10**12):
            for rows in (None, 10**3, 10**5, 10**7):
                found = defaults_for(Facts(parameters, method, rows, None if rows is None else 50.0))
                assert all(len(one.source) > 10 for one in found.values())


def test_a_set_value_always_wins(tmp_path: Path) -> None:
    file = tmp_path / "labtune.yaml"
    file.write_text("student: some/model\ntrain: {learning_rate: 4e-5, lora: {rank: 5}, method: lora}\n")
    loaded = load(file, overrides=["train.epochs_short=3"], environment={"LABTUNE_MIX__GENERAL_SHARE": "0.4"})
    lab = loaded.informed(Facts(8_000_000_000, "lora", 5_000, 60.0)).lab
    assert lab.train.learning_rate == 4e-5
    assert lab.train.lora.rank == 5
    assert lab.train.epochs_short == 3
    assert lab.mix.general_share == 0.4
    assert (lab.train.epochs_skills, lab.train.lora.alpha, lab.train.batch_tokens) == (10, 32, 1024)


def test_the_profile_of_the_built_in_student_wins(tmp_path: Path) -> None:
    loaded = load(None, environment={})
    informed = loaded.informed(Facts(8_000_000_000, "full", 5_000, 60.0))
    for key in ("train.learning_rate", "train.batch_tokens", "train.epochs_long", "mix.general_share"):
        assert informed.explain(key).value == loaded.explain(key).value
        assert informed.explain(key).origin == "profile nano"
        assert informed.explain(key).source == "measured on the examples, docs/log.md"


def test_explain_tells_origin_and_source(tmp_path: Path) -> None:
    file = tmp_path / "labtune.yaml"
    file.write_text("student: some/model\ntrain: {patience: 2}\n")
    informed = load(file, environment={}).informed(Facts(1_710_000_000, "full", 900, 80.0))
    rate = informed.explain("train.learning_rate")
    assert rate.value == 1e-4
    assert rate.default == 2e-5
    assert rate.origin == "default for 1.71B parameters, full, 900 rows"
    assert "LoRA Without Regret" in rate.source
    assert informed.explain("train.schedule").source.startswith("LAB, arXiv 2403.01081")
    assert informed.explain("train.patience").source == ""
    assert informed.explain("seed").source == ""


def test_sizes_as_people_say_them() -> None:
    numbers = [short_number(count) for count in (999, 4_070_000, 3_212_749_824, 70_600_000_000)]
    assert numbers == ["999", "4.07M", "3.21B", "70.6B"]

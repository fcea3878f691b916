from pathlib import Path

import pytest

from labtune.config.layers import load
from labtune.errors import ConfigError


def lab_file(folder: Path, text: str) -> Path:
    path = folder / "labtune.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_later_layers_win_and_say_where_a_value_comes_from(tmp_path: Path) -> None:
    file = lab_file(tmp_path, "seed: 2\ntrain: {learning_rate: 0.5, patience: 7}\n")
    loaded = load(
        file,
        overrides=["train.learning_rate=1e-4"],
        environment={"LABTUNE_SEED": "3", "LABTUNE_TRAIN__LEARNING_RATE": "0.25", "HOME": "x"},
    )
    assert loaded.lab.seed == 3
    assert loaded.lab.train.learning_rate == 1e-4
    assert loaded.lab.train.patience == 7
    origins = {key: loaded.explain(key).origin for key in ("seed", "train.learning_rate", "train.patience")}
    assert origins == {
        "seed": "environment",
        "train.learning_rate": "--set",
        "train.patience": "labtune.yaml",
    }
    assert loaded.explain("mix.replay").origin == "default"


def test_the_profile_belongs_to_the_student_and_loses_to_the_file(tmp_path: Path) -> None:
    nano = load(lab_file(tmp_path, "student: builtin:nano\n"), environment={})
    assert nano.explain("train.max_tokens").origin == "profile nano"
    other = load(lab_file(tmp_path, "student: some/model\n"), environment={})
    assert other.lab.train.max_tokens is None
    assert other.lab.train.learning_rate == 2e-5
    own = load(lab_file(tmp_path, "train: {max_tokens: 5}\n"), environment={})
    assert own.lab.train.max_tokens == 5
    assert own.explain("train.max_tokens").origin == "labtune.yaml"


@pytest.mark.parametrize(
    ("text", "overrides", "message", "hint"),
    [
        (
            "train: {learnig_rate: 1}",
            [],
            "labtune.yaml: there is no setting 'train.learnig_rate'",
            "train.learning_rate",
        ),
        ("taxonmy: x", [], "labtune.yaml: there is no setting 'taxonmy'", "taxonomy"),
        ("", ["mix.genral_share=0.1"], "--set: there is no setting 'mix.genral_share'", "mix.general_share"),
        ("train: 3", [], "labtune.yaml: 'train' is a section", None),
        (
            "exam: {from_seeds: 1.5}",
            [],
            "labtune.yaml: exam.from_seeds: Input should be less than",
            "config explain",
        ),
        ("seed: many", [], "labtune.yaml: seed: Input should be a valid integer", "config explain seed"),
        ("- a\n- b", [], "expected settings as 'key: value' lines", None),
        ("a: [", [], "is not YAML", None),
        ("", ["seed"], "has no '='", "--set"),
    ],
)
def test_a_wrong_setting_is_one_sentence_with_the_layer_and_a_mend(
    tmp_path: Path, text: str, overrides: list[str], message: str, hint: str | None
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(lab_file(tmp_path, text), overrides=overrides, environment={})
    assert message in caught.value.message
    assert "\n" not in caught.value.message
    if hint is not None:
        assert hint in (caught.value.hint or "")


def test_a_misspelt_environment_variable_is_an_error() -> None:
    with pytest.raises(ConfigError, match="environment: there is no setting 'sead'"):
        load(None, environment={"LABTUNE_SEAD": "3"})


def test_an_endpoint_teacher_is_a_mapping_that_is_checked(tmp_path: Path) -> None:
    file = lab_file(tmp_path, "teacher: {endpoint: 'http://localhost:8000/v1', model: m}\n")
    teacher = load(file, environment={}).lab.teacher
    assert not isinstance(teacher, str)
    assert (teacher.endpoint, teacher.model) == ("http://localhost:8000/v1", "m")
    with pytest.raises(ConfigError, match="teacher"):
        load(lab_file(tmp_path, "teacher: {endpoint: x}\n"), environment={})


def test_every_setting_has_a_sentence() -> None:
    settings = list(load(None, environment={}).settings())
    assert len(settings) > 30
    for setting in settings:
        assert setting.description.endswith("."), setting.key


@pytest.mark.parametrize(
    ("text", "overrides"),
    [
        ("teacher: {endpoint: 'http://h/v1', model: m, api_key: hidden-value-1}", []),
        ("judge: {endpoint: 'http://h/v1', model: m, api_key_env: sk-hidden-value-1}", []),
        ("teacher: {endpoint: 'http://h/v1', model: m, extra_body: {authorization: hidden-value-1}}", []),
        ("", ["teacher.api_key=hidden-value-1"]),
    ],
)
def test_a_literal_key_is_refused_and_not_repeated(tmp_path: Path, text: str, overrides: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load(lab_file(tmp_path, text), overrides=overrides, environment={})
    assert "keys are read from the environment only" in caught.value.message
    assert "api_key_env" in (caught.value.hint or "")
    assert "hidden-value-1" not in caught.value.message + (caught.value.hint or "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("teacher: {endpoint: 'ftp://h', model: m}", "teacher.endpoint: a base URL begins with http"),
        ("teacher: {endpoint: 'http://h/v1'}", "teacher.model: Field required"),
        ("teacher: {endpoint: 'http://h/v1', model: m, rmp: 3}", "teacher.rmp: Extra inputs"),
        ("judge: {endpoint: 'http://h/v1', model: m, api_key_env: my_key}", "is the NAME of an environment"),
    ],
)
def test_a_wrong_endpoint_setting_names_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(lab_file(tmp_path, text), environment={})
    assert message in caught.value.message
    assert caught.value.message.startswith("labtune.yaml: ")


@pytest.mark.parametrize("text", ["teacher: builtin", "teacher: {endpoint: 'http://old:1/v1', model: q}"])
def test_a_flag_sets_one_field_of_the_teacher(tmp_path: Path, text: str) -> None:
    flags = ["teacher.endpoint=http://new:2/v1/chat/completions", "teacher.model=q"]
    teacher = load(lab_file(tmp_path, text), overrides=flags, environment={}).lab.teacher
    assert not isinstance(teacher, str)
    assert (teacher.endpoint, teacher.model) == ("http://new:2/v1", "q")


def test_names_that_look_like_keys_are_let_through(tmp_path: Path) -> None:
    teacher = "{endpoint: 'http://hf-inference-host/v1', model: sk-abcdefghijklmn}"
    text = f"student: hf_models/granite-4.0-micro\nteacher: {teacher}"
    loaded = load(lab_file(tmp_path, text), environment={}).lab
    assert loaded.student.model == "hf_models/granite-4.0-micro"
    assert not isinstance(loaded.teacher, str)

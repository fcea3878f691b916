"""What single commands print and how they end."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from command_line import document, labtune

from labtune.workflow.doctor import examine_lab

CONFORMANCE = Path(__file__).parents[4] / "shared" / "data" / "qna-conformance"
SKILL = """\
version: 3
created_by: me
task_description: Say goodbye politely.
seed_examples:
"""


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A lab with one valid skill."""
    leaf = tmp_path / "taxonomy" / "compositional_skills" / "farewell"
    leaf.mkdir(parents=True)
    seeds = "".join(
        f"  - question: {question}\n    answer: {answer}\n"
        for question, answer in [
            ("Take leave of a customer.", "Thank you for your call, and have a good day."),
            ("End a letter to the mayor.", "Yours faithfully, the residents of Mill Lane."),
            ("Close a chat with a friend.", "See you soon, take care!"),
            ("Finish a complaint.", "I look forward to hearing from you by Friday."),
            ("Bid a guest farewell.", "It was a pleasure to have you here."),
        ]
    )
    (leaf / "qna.yaml").write_text(SKILL + seeds)
    (leaf / "attribution.txt").write_text("Title of work: Farewells\nLicense of the work: CC-BY-4.0\n")
    (tmp_path / "labtune.yaml").write_text("seed: 7\n")
    return tmp_path


def test_check_of_a_good_lab_is_quiet_and_ends_with_0(lab: Path) -> None:
    result = labtune("check", cwd=lab)
    assert (result.returncode, result.stdout) == (0, "1 leaf checked: 0 errors, 0 warnings\n")
    below = labtune("check", cwd=lab / "taxonomy")
    assert (below.returncode, below.stdout) == (0, result.stdout)


def test_check_names_the_place_ends_with_1_and_fix_mends_it(lab: Path) -> None:
    qna = lab / "taxonomy" / "compositional_skills" / "farewell" / "qna.yaml"
    qna.write_text("# kept\n" + qna.read_text().replace("created_by:", "createdby:"))
    broken = labtune("check", cwd=lab)
    assert broken.returncode == 1
    place = "taxonomy/compositional_skills/farewell/qna.yaml:3:1: error"
    assert any(line.startswith(place) and "createdby" in line for line in broken.stdout.splitlines())
    mended = labtune("check", "--fix", cwd=lab)
    assert mended.returncode == 0
    assert mended.stdout.startswith(f"mended {qna}: line 3:")
    assert qna.read_text().startswith("# kept\nversion: 3\ncreated_by: me\n")


@pytest.mark.parametrize("arguments", [("--json",), ("--format", "json"), ("--json", "--fix")])
def test_check_as_json_is_one_document(lab: Path, arguments: tuple[str, ...]) -> None:
    value = document(labtune("check", *arguments, cwd=lab))
    assert value["command"] == "check"
    assert (value["passed"], value["leaves"], value["errors"]) == (True, 1, 0)
    assert value["fixed"] == []


@pytest.mark.skipif(not CONFORMANCE.exists(), reason="the shared data are not here")
def test_check_finds_errors_in_exactly_the_leaves_that_have_some() -> None:
    expected = json.loads((CONFORMANCE / "expected.json").read_text())
    result = labtune("check", str(CONFORMANCE), "--json")
    assert result.returncode == 1
    wrong = {
        str(Path(finding["file"]).parent.relative_to(CONFORMANCE))
        for finding in document(result)["findings"]
        if finding["severity"] == "error"
    }
    assert wrong == {name for name, verdict in expected.items() if not verdict["accept"]}


def test_check_as_sarif_and_for_github_name_the_same_finding(lab: Path) -> None:
    qna = lab / "taxonomy" / "compositional_skills" / "farewell" / "qna.yaml"
    qna.write_text(qna.read_text().replace("version: 3", "version: three"))
    sarif = json.loads(labtune("check", "--format", "sarif", cwd=lab).stdout)
    place = sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "taxonomy/compositional_skills/farewell/qna.yaml"
    github = labtune("check", "--format", "github", cwd=lab)
    assert github.returncode == 1
    assert github.stdout.startswith(
        f"::error file=taxonomy/compositional_skills/farewell/qna.yaml,line={place['region']['startLine']},"
    )


def test_check_of_nothing_is_the_users_mistake(tmp_path: Path) -> None:
    result = labtune("check", "no/such/place", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith("error: there is no ")


def test_new_writes_a_leaf_that_check_passes(lab: Path) -> None:
    value = document(labtune("new", "skill", "office/minutes", "--json", cwd=lab))
    assert value["leaf"] == "compositional_skills/office/minutes"
    assert Path(value["qna"]).is_file()
    assert labtune("check", cwd=lab).returncode == 0
    again = labtune("new", "skill", "office/minutes", cwd=lab)
    assert again.returncode == 2
    assert "exists already" in again.stderr


def test_new_wants_a_known_kind(lab: Path) -> None:
    result = labtune("new", "wisdom", "a/b", cwd=lab)
    assert result.returncode == 2
    assert "'wisdom' is not one of 'knowledge', 'skill'" in result.stderr


def test_config_explain_says_value_origin_default_and_meaning(lab: Path) -> None:
    assert labtune("config", "explain", "seed", cwd=lab).stdout == (
        "seed = 7\n  from     labtune.yaml\n  default  1\n  Seed of everything that is drawn.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "environment", "value", "origin"),
    [
        ((), {}, 7, "labtune.yaml"),
        ((), {"LABTUNE_SEED": "8"}, 8, "environment"),
        (("--set", "seed=9"), {"LABTUNE_SEED": "8"}, 9, "--set"),
    ],
)
def test_config_explain_shows_the_layer_that_won(
    lab: Path, arguments: tuple[str, ...], environment: dict[str, str], value: int, origin: str
) -> None:
    result = labtune("config", "explain", "seed", "--json", *arguments, cwd=lab, environment=environment)
    (setting,) = document(result)["settings"]
    assert (setting["value"], setting["origin"], setting["default"]) == (value, origin, 1)


def test_config_explain_of_a_section_and_of_everything(tmp_path: Path) -> None:
    everything = document(labtune("config", "explain", "--json", cwd=tmp_path))["settings"]
    section = document(labtune("config", "explain", "exam", "--json", cwd=tmp_path))["settings"]
    assert [setting["key"] for setting in section] == ["exam.from_seeds", "exam.dev_share"]
    assert all(setting in everything for setting in section)
    assert all(setting["description"] for setting in everything)


def test_config_explain_of_an_unknown_key_names_the_nearest(tmp_path: Path) -> None:
    result = labtune("config", "explain", "train.learning_rat", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr == (
        "error: there is no setting 'train.learning_rat'\nhint:  did you mean 'train.learning_rate'?\n"
    )


def test_init_makes_a_lab_from_each_example(tmp_path: Path) -> None:
    names = document(labtune("init", "--list", "--json"))["examples"]
    assert {"clinic-zh", "customer-service"} <= set(names)
    for name in names:
        value = document(labtune("init", str(tmp_path / name), "--example", name, "--json"))
        assert value["lab"] == str(tmp_path / name)
        assert all(Path(path).is_file() for path in value["made"])


def test_init_refuses_what_exists_and_what_it_does_not_know(lab: Path, tmp_path: Path) -> None:
    again = labtune("init", str(lab))
    assert again.returncode == 2
    assert "is a lab already" in again.stderr
    unknown = labtune("init", str(tmp_path / "x"), "--example", "costumer-service")
    assert unknown.returncode == 2
    assert not (tmp_path / "x").exists()


def test_an_empty_lab_says_how_to_write_the_first_leaf(tmp_path: Path) -> None:
    made = labtune("init", "lab", cwd=tmp_path)
    assert made.returncode == 0
    assert made.stdout.endswith("\nnext: cd lab && labtune new knowledge PATH --document FILE\n")
    assert labtune("run", cwd=tmp_path / "lab").returncode == 2


def test_doctor_tells_each_part_with_its_mend(lab: Path) -> None:
    value = document(labtune("doctor", "--json", cwd=lab))
    checks = {check["name"]: check for check in value["checks"]}
    assert set(checks) >= {"python", "platform", "cores", "memory", "disk", "torch", "git", "lab", "cache"}
    assert all(check["state"] in ("ok", "warn", "fail") for check in value["checks"])
    assert all(bool(check["mend"]) == (check["state"] != "ok") for check in value["checks"])
    assert value["healthy"] == all(check["state"] != "fail" for check in value["checks"])
    assert checks["lab"]["state"] == "ok"
    assert str(lab) in checks["lab"]["found"]


def test_doctor_names_a_broken_lab(lab: Path) -> None:
    (lab / "labtune.yaml").write_text("taxonmy: here\n")
    (check,) = examine_lab(lab)
    assert (check.name, check.state, check.mend) == ("lab", "fail", "did you mean 'taxonomy'?")
    assert "taxonmy" in check.found


def test_doctor_names_a_taxonomy_that_is_not_there(lab: Path) -> None:
    shutil.rmtree(lab / "taxonomy")
    (check,) = examine_lab(lab)
    assert check.state == "fail"
    assert "does not exist" in check.found


def test_doctor_outside_of_a_lab_warns_only(tmp_path: Path) -> None:
    (check,) = examine_lab(tmp_path)
    assert (check.state, check.mend) == ("warn", "labtune init --example customer-service DIR")


def test_doctor_sees_that_the_cache_cannot_be_written(lab: Path) -> None:
    (lab / ".labtune").write_text("a file where a folder should be")
    found, *_, cache = examine_lab(lab)
    assert found.state == "ok"
    assert (cache.name, cache.state) == ("cache", "fail")

"""The command table: what is loaded when, what help says, how errors look."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import document, labtune

from labtune import __version__
from labtune.cli.main import COMMANDS

HEAVY = {
    "torch",
    "transformers",
    "trl",
    "datasets",
    "kreuzberg",
    "numpy",
    "pydantic",
    "rich",
    "ruamel",
    "yaml",
    "prompt_toolkit",
}
GOLDEN = Path(__file__).with_name("options.json")


def modules_after(*arguments: str) -> set[str]:
    code = (
        "import sys\n"
        "from labtune.cli.main import run_command\n"
        f"run_command({list(arguments)!r})\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(result.stderr.split())


def test_help_loads_no_command_and_nothing_heavy() -> None:
    loaded = modules_after("--help")
    assert not {name.split(".")[0] for name in loaded} & HEAVY
    assert not {entry.module for entry in COMMANDS.values()} & loaded


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_loads_that_command_and_nothing_heavy(name: str) -> None:
    loaded = modules_after(name, "--help")
    assert not {package.split(".")[0] for package in loaded} & HEAVY
    commands = {entry.module for entry in COMMANDS.values()}
    assert commands & loaded == {COMMANDS[name].module}


def test_help_names_every_command_with_its_sentence() -> None:
    text = labtune("--help").stdout
    for name, entry in COMMANDS.items():
        assert f"  {name.ljust(8)}  {entry.help}\n" in text


def test_version() -> None:
    assert labtune("--version").stdout == f"labtune {__version__}\n"


@pytest.mark.parametrize(
    ("typed", "meant"), [("trian", "train"), ("evalute", "evaluate"), ("chekc", "check"), ("confg", "config")]
)
def test_an_unknown_command_is_answered_with_the_nearest(typed: str, meant: str) -> None:
    result = labtune(typed)
    assert result.returncode == 2
    assert result.stderr == f"error: there is no command '{typed}'\nhint:  did you mean 'labtune {meant}'?\n"
    assert result.stdout == ""


def test_a_wrong_option_names_the_help_of_its_command() -> None:
    result = labtune("train", "--fast")
    assert result.returncode == 2
    assert "no such option: --fast" in result.stderr
    assert "labtune train --help" in result.stderr


@pytest.mark.parametrize("verb", ["generate", "mix", "train", "evaluate", "run", "chat", "check"])
def test_outside_of_a_lab_every_verb_says_what_to_do(verb: str, tmp_path: Path) -> None:
    result = labtune(verb, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith(f"error: there is no labtune.yaml in {tmp_path} or above it\nhint:  ")
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_an_error_with_json_is_one_document_too(tmp_path: Path) -> None:
    result = labtune("run", "--json", cwd=tmp_path)
    value = document(result)
    assert value["command"] == "run"
    assert value["error"]["kind"] == "UserError"
    assert value["error"]["exit_code"] == result.returncode == 2
    assert value["error"]["message"] in result.stderr


def test_a_usage_error_with_json_is_one_document_too() -> None:
    value = document(labtune("train", "--json", "--zzz"))
    assert value["error"] == {
        "kind": "UsageError",
        "message": "no such option: --zzz",
        "hint": "labtune train --help",
        "exit_code": 2,
    }


def test_an_unknown_setting_is_an_error_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "labtune.yaml").write_text("train:\n  learnin_rate: 1\n")
    result = labtune("run", cwd=tmp_path)
    assert result.returncode == 2
    assert "learnin_rate" in result.stderr
    assert "did you mean 'train.learning_rate'?" in result.stderr


def test_errors_show_control_characters_and_do_not_obey_them(tmp_path: Path) -> None:
    result = labtune("run", "--lab", "\x1b[31mred", cwd=tmp_path)
    assert result.returncode == 2
    assert "\x1b" not in result.stderr
    assert "[31mred" in result.stderr


def test_a_bug_keeps_its_traceback() -> None:
    code = (
        "import labtune.cli.main as m\n"
        "m.COMMANDS['bug'] = m.Entry('fractions', 'no_such_thing', 'Look', '')\n"
        "m.run_command(['bug'])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert "AttributeError" in result.stderr


def test_a_reader_that_goes_away_ends_the_command_quietly() -> None:
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "labtune", "config", "explain"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd="/",
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 141


def start_and_wait(lab: Path) -> subprocess.Popen[str]:
    """`labtune train` that has begun its work and stays in it."""
    (lab / "labtune.yaml").write_text("")
    os.mkfifo(lab / "ready")
    code = (
        "import signal, sys, time, labtune.workflow.run as run\n"
        # A shell that starts the tests in the background leaves SIGINT ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from labtune.cli.main import main\n"
        "def wait():\n"
        "    sys.settrace(None)\n"
        "    open('ready', 'w').close()\n"
        "    time.sleep(60)\n"
        "sys.settrace(lambda frame, event, _: wait() if frame.f_code.co_name == 'run_lab' else None)\n"
        "sys.argv[1:] = ['train', '--set', 'seed=2']\n"
        "main()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=lab, stderr=subprocess.PIPE, text=True)
    (lab / "ready").read_text()
    return process


def test_ctrl_c_says_what_to_type_to_go_on(tmp_path: Path) -> None:
    process = start_and_wait(tmp_path)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=600)
    assert process.returncode == 130
    assert told == "stopped. What was finished is kept; go on with: labtune train --set seed=2\n"


def test_a_command_that_is_terminated_ends_in_order(tmp_path: Path) -> None:
    process = start_and_wait(tmp_path)
    process.terminate()
    _, told = process.communicate(timeout=600)
    assert (process.returncode, told) == (143, "")


def test_the_commands_and_options_are_the_ones_that_were_agreed() -> None:
    """Changing an option breaks people's scripts: change options.json only on purpose."""
    code = (
        "import json, typer\n"
        "from labtune.cli.main import COMMANDS, app\n"
        "group = typer.main.get_command(app)\n"
        "def options(command):\n"
        "    return sorted(name for p in command.params for name in p.opts)\n"
        "found = {}\n"
        "for name in COMMANDS:\n"
        "    command = group.get_command(None, name)\n"
        "    inner = getattr(command, 'commands', None)\n"
        "    found[name] = {k: options(c) for k, c in inner.items()} if inner else options(command)\n"
        "print(json.dumps(found))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(result.stdout) == json.loads(GOLDEN.read_text())


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    assert labtune("init", "lab", "--example", "customer-service", cwd=tmp_path).returncode == 0
    (tmp_path / "lab" / "runs").write_text("a file")
    refused = labtune("generate", cwd=tmp_path / "lab")
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr
    last = refused.stderr.splitlines()[-2:]
    assert last[0].startswith("error: ") and last[0].endswith(": not a directory")
    assert last[1].startswith("hint:  mend that place")

"""Generation with a teacher model that is stopped, by a budget, a kill, an interrupt, and goes on."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from benchmarks.simulated_teacher import TeacherConfig, TeacherProcess, teacher_process
from command_line import labtune
from small_lab import write_lab
from taught_lab import generate, samples_bytes, settings, start, wait_for

from labtune.artifact import read_manifest
from labtune.errors import BudgetReached, EndpointError


def test_a_budget_stops_and_the_same_command_goes_on_to_the_same_data_set(
    tmp_path: Path, teacher: TeacherProcess
) -> None:
    whole = write_lab(tmp_path / "whole", 2, settings(teacher.url))
    generate(whole)
    root = write_lab(tmp_path / "parts", 2, settings(teacher.url))
    teacher.reset()
    with pytest.raises(BudgetReached, match="every reply is kept"):
        generate(root, budget="9ktok")
    used = teacher.stats()
    assert 0 < used["prompt_tokens"] + used["completion_tokens"] <= 9000
    assert read_manifest(root / "runs" / "0001" / "generate") is None
    stopped = labtune("generate", "--budget", "1ktok", cwd=root)
    assert stopped.returncode == 1
    assert "go on with: labtune generate --budget 1ktok" in stopped.stderr
    generate(root)
    assert samples_bytes(root) == samples_bytes(whole)
    assert teacher.stats()["answered_twice"] == 0
    wrong = labtune("generate", "--budget", "five", cwd=root)
    assert wrong.returncode == 2


def test_a_killed_run_goes_on_to_the_same_data_set_and_asks_nothing_twice(tmp_path: Path) -> None:
    with teacher_process(TeacherConfig(latency_ms=30)) as teacher:
        values = json.loads(settings(teacher.url))
        values["teacher"]["max_concurrency"] = 4
        whole = write_lab(tmp_path / "whole", 2, json.dumps(values))
        generate(whole)
        total = teacher.stats()["answered"]
        teacher.reset()
        root = write_lab(tmp_path / "parts", 2, json.dumps(values))
        for share in (0.2, 0.5, 0.8):
            process = start(root)
            wait_for(teacher, share * total, process)
            process.send_signal(signal.SIGKILL)
            process.wait()
        generate(root)
        assert samples_bytes(root) == samples_bytes(whole)
        # Each kill may cost what was in flight.
        assert teacher.stats()["answered_twice"] <= 3 * 4
        assert teacher.stats()["answered"] <= total + 3 * 4 + 3


def test_an_interrupt_finishes_what_is_in_flight(tmp_path: Path) -> None:
    with teacher_process(TeacherConfig(latency_ms=100, slots=2)) as teacher:
        root = write_lab(tmp_path, 2, settings(teacher.url))
        process = start(root)
        wait_for(teacher, 6, process)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "finishing what is in flight" in told
        assert "go on with: labtune generate" in told
        assert teacher.stats()["abandoned"] == 0
        generate(root)
        assert teacher.stats()["answered_twice"] == 0


def test_an_endpoint_that_is_gone_is_an_error_but_what_is_done_is_kept(tmp_path: Path) -> None:
    root = write_lab(tmp_path, 1, settings("http://127.0.0.1:9/v1"))
    with pytest.raises(EndpointError) as caught:
        generate(root)
    assert "127.0.0.1:9" in caught.value.message
    assert "0 of 1 leaves are done" in caught.value.message


def test_a_second_interrupt_stops_at_once(tmp_path: Path) -> None:
    with teacher_process(TeacherConfig(latency_ms=60_000)) as teacher:
        values = json.loads(settings(teacher.url))
        values["teacher"]["json_mode"] = "schema"
        root = write_lab(tmp_path, 1, json.dumps(values))
        process = start(root)
        wait_for(teacher, 1, process, "requests")
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        while "finishing what is in flight" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
        assert process.returncode == 130
        assert "go on with: labtune generate" in told


def test_a_command_that_is_terminated_ends_in_order_and_can_go_on(tmp_path: Path) -> None:
    with teacher_process(TeacherConfig(latency_ms=100, slots=2)) as teacher:
        root = write_lab(tmp_path, 2, settings(teacher.url))
        process = start(root)
        wait_for(teacher, 6, process)
        process.terminate()
        _, told = process.communicate(timeout=60)
        assert process.returncode == 143
        assert "Traceback" not in told
        generate(root)

from __future__ import annotations

import json

import pytest

from labtune.errors import DataError
from labtune.training.journal import Journal


def test_events_survive_and_are_found(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.append("begin", fingerprint="abc")
    journal.append("evaluation", phase="skills", step=10, score=0.5, best=True)
    journal.append("evaluation", phase="skills", step=20, score=0.75, best=True)
    again = Journal(path)
    assert [event["score"] for event in again.find("evaluation", phase="skills")] == [0.5, 0.75]
    assert again.last("begin") == {"event": "begin", "fingerprint": "abc"}
    assert again.last("evaluation", phase="knowledge-short") is None


def test_an_event_done_again_is_written_once(tmp_path):
    path = tmp_path / "journal.jsonl"
    Journal(path).append("step", phase="skills", step=5, loss=1.0)
    journal = Journal(path)
    journal.append("step", phase="skills", step=5, loss=1.0)
    journal.append("step", phase="skills", step=6, loss=0.9)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [5, 6]


def test_a_line_cut_off_by_a_crash_is_dropped(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.append("step", phase="skills", step=5, loss=1.0)
    with path.open("ab") as stream:
        stream.write(b'{"event": "step", "phase": "sk')
    again = Journal(path)
    again.append("step", phase="skills", step=6, loss=0.9)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [5, 6]


def test_damage_in_the_middle_is_an_error_with_its_place(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_text('{"event": "begin"}\nnonsense\n{"event": "end"}\n')
    with pytest.raises(DataError, match=r"journal\.jsonl:2"):
        Journal(path)

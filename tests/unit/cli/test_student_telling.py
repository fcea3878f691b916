"""What is told of a student: how far its download is, which commit is here, its licence."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from labtune.cli.live import View
from labtune.cli.progress import Progress
from labtune.cli.story import Story
from labtune.config.layers import load
from labtune.workflow.lab import Lab


def fetched(done: int, **more) -> dict:
    return {"student": "org/bird", "bytes": done << 20, "total": 400 << 20, **more}


def test_a_download_shows_how_far_and_how_fast_it_is() -> None:
    now = [0.0]
    progress = Progress(clock=lambda: now[0])
    progress.update("student.fetch", fetched(100))
    now[0] = 10.0
    progress.update("student.fetch", fetched(300))
    assert progress.status() == "student · org/bird · 300 of 400 MiB · 20.0 MiB/s"
    assert progress.share == 0.75
    progress.update("stage.start", {"stage": "curate"})
    assert (progress.stage, progress.total) == ("curate", 0)


@pytest.mark.parametrize(
    ("event", "fields", "said"),
    [
        ("student.fetch", fetched(400, revision="a" * 40), f"student org/bird is here, commit {'a' * 40}\n"),
        ("student.fetch", fetched(200), ""),
        ("train.student", {"student": "org/bird", "licence": "mit"}, "  student org/bird, licence: mit\n"),
        (
            "train.student",
            {"student": "org/bird", "licence": None},
            "  student org/bird, licence: its card names no licence\n",
        ),
    ],
)
def test_commit_and_licence_stay_on_the_screen(tmp_path: Path, event: str, fields: dict, said: str) -> None:
    (tmp_path / "labtune.yaml").write_text("")
    lab = Lab(tmp_path, load(tmp_path / "labtune.yaml", environment={}))
    stream = io.StringIO()
    story = Story(lab)
    view = View(Console(file=stream, width=200), [])
    story.listen(view, event, fields)
    assert stream.getvalue() == said

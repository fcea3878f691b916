"""What the live view knows and shows: plain lines here, the moving block is looked at by people."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from rich.console import Console

from labtune.cli.live import PLAIN_SECONDS, View
from labtune.cli.noise import libraries_to
from labtune.cli.progress import Progress
from labtune.cli.tables import score_table
from labtune.cli.text import cells, duration, one_line, printable


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_status_tells_leaf_rows_and_speed() -> None:
    clock = Clock()
    progress = Progress(clock)
    progress.update("stage.start", {"stage": "generate"})
    clock.now += 2
    progress.update(
        "progress", {"leaf": "knowledge/birds", "done": 500, "total": 4000, "unit": "rows", "kept": 420}
    )
    assert progress.status() == "generate · knowledge/birds · 500 of 4,000 rows · 420 rows kept, 210 rows/s"
    assert progress.share == 0.125


def test_status_of_training() -> None:
    progress = Progress(Clock())
    progress.update("stage.start", {"stage": "train", "resumed": True})
    assert progress.status() == "train · going on where it stopped"
    progress.update("train.phase", {"phase": "knowledge-short", "status": "started"})
    progress.update(
        "train.step",
        {"phase": "knowledge-short", "step": 120, "steps": 400, "loss": 0.81239, "tokens_per_second": 5123.4,
         "mfu": 0.412, "padding_waste": 0.0131, "eta_s": 75},
    )  # fmt: skip
    progress.update("train.evaluation", {"phase": "knowledge-short", "score": 0.45, "best": True})
    assert progress.status() == (
        "train · knowledge-short · 120 of 400 steps · loss 0.812 · 5,123 tokens/s · 41% MFU · 1.3% padding"
        " · 1:15 min left"
        " · development exam 45% (best so far)"
    )


@pytest.mark.parametrize(
    "event",
    [
        "stage.start",
        "stage.end",
        "progress",
        "sample",
        "exam.progress",
        "exam.answer",
        "train.step",
        "train.phase",
        "train.evaluation",
        "something.new",
    ],
)
def test_events_without_their_fields_change_nothing_and_raise_nothing(event: str) -> None:
    progress = Progress(Clock())
    progress.update(event, {})
    progress.update(event, {"done": "many", "total": None, "loss": "nan?", "score": []})
    assert progress.status() == ""


def test_a_new_stage_forgets_the_old_ones_numbers() -> None:
    progress = Progress(Clock())
    progress.update("stage.start", {"stage": "generate"})
    progress.update("progress", {"leaf": "knowledge/birds", "done": 5, "total": 10})
    progress.update("sample", {"question": "q", "answer": "a"})
    progress.update("stage.start", {"stage": "mix"})
    assert progress.status() == "mix"
    assert progress.sample is None


def view() -> tuple[View, Clock, io.StringIO]:
    stream, clock = io.StringIO(), Clock()
    return View(Console(file=stream, width=80), [], clock), clock, stream


def test_without_a_terminal_lines_are_throttled() -> None:
    shown, clock, stream = view()
    with shown.shown():
        shown.emit("stage.start", {"stage": "generate"})
        for done in range(1, 106):
            clock.now += 0.1
            shown.emit("progress", {"done": done, "total": 200})
    lines = stream.getvalue().splitlines()
    assert lines[0] == "generate"
    assert len(lines) == 1 + int(10 / PLAIN_SECONDS)
    assert lines[-1].startswith("generate · 10")


def test_what_stays_is_text_and_never_markup_or_escapes() -> None:
    shown, _, stream = view()
    shown.say("[red]not red[/red] \x1b[31mnot red\x1b[0m " + "long " * 40)
    text = stream.getvalue()
    assert "[red]not red[/red]" in text
    assert "\x1b" not in text
    assert text.count("\n") == 1


def test_listeners_hear_every_event_after_the_state_knows_it() -> None:
    heard: list[tuple[str, str]] = []
    shown = View(
        Console(file=io.StringIO()), [lambda view, event, _: heard.append((event, view.progress.stage))]
    )
    shown.emit("stage.start", {"stage": "mix"})
    shown.emit("mix.phase", {"phase": "skills"})
    assert heard == [("stage.start", "mix"), ("mix.phase", "mix")]


def test_noise_of_libraries_goes_to_the_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "cache" / "libraries.log"
    with libraries_to(log) as real:
        os.write(2, b"from C\n")
        os.write(1, b"from C too\n")
        real.write("for people\n")
    os.write(2, b"after\n")
    out, err = capfd.readouterr()
    assert err == "for people\nafter\n"
    assert out == ""
    assert log.read_text() == "from C\nfrom C too\n"


def test_noise_ends_when_the_work_fails(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="bug"), libraries_to(tmp_path / "log"):
        raise ValueError("bug")
    os.write(1, b"out\n")
    os.write(2, b"err\n")
    assert capfd.readouterr() == ("out\n", "err\n")


def tally(n: int, right: float | None, **more: object) -> dict[str, object]:
    return {"n": n, "right": right, "right_interval": None, "mc": None, "f1": None, "stop_rate": None, **more}


SCORES = {
    "leaves": {
        "knowledge/health/chengxi_clinic_and_its_long_name": {
            "base": tally(40, 0.025),
            "tuned": tally(
                40, 0.95, right_interval=[0.8358, 0.9862], mc=0.9, mc_n=40, f1=0.874, stop_rate=1.0
            ),
            "verdict": "learned",
        },
        "知识/健康": {"base": tally(0, None), "tuned": tally(0, None), "verdict": None},
    },
    "total": {"base": tally(40, 0.025), "tuned": tally(40, 0.95), "verdict": "not_learned"},
    "retention": {"base": 0.98, "tuned": 0.97, "ratio": 0.9898},
}


def test_rows_of_the_score_table() -> None:
    header, first, second, total, blank, kept = score_table(SCORES, lambda text, _: text, 94)
    assert header.split() == ["leaf", "n", "base", "tuned", "95", "%", "choice", "F1", "stops", "verdict"]
    assert first.split() == [
        "…th/chengxi_clinic_and_its_long_name", "40", "2%", "95%", "84-99", "90%", "0.87", "100%", "learned"
    ]  # fmt: skip
    assert second.split() == ["知识/健康", "0"]
    assert total.split() == ["all", "40", "2%", "95%", "not", "learned"]
    assert blank == ""
    assert kept == "kept: general exam 98% right before, 97% after; retention 99.0%"
    # Wide characters take two columns: the numbers of all rows still end in the same column.
    ends = {cells(row[: row.index(number) + len(number)]) for row, number in ((first, " 40"), (second, " 0"))}
    assert len(ends) == 1
    assert all(cells(line) <= 94 for line in (header, first, second, total, kept))


@pytest.mark.parametrize("width", [80, 100, 200])
def test_the_score_table_fits_its_width(width: int) -> None:
    lines = score_table(SCORES, lambda text, _: text, width)
    assert max(cells(line) for line in lines) <= width
    shown = lines[1].split()[0]
    assert shown.endswith("its_long_name")
    assert (shown == "knowledge/health/chengxi_clinic_and_its_long_name") == (width >= 200)


def test_retention_that_was_not_measured_is_said() -> None:
    scores = {**SCORES, "retention": {"base": None, "tuned": None, "ratio": None}}
    assert score_table(scores, lambda text, _: text, 80)[-1] == (
        "kept: not measured, the general exam has no question"
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("a\x1b[31mb", "a\ufffd[31mb"),
        ("a\x9b31mb", "a\ufffd31mb"),
        ("a\rb\x07", "a\ufffdb\ufffd"),
        ("two\nlines\tand", "two\nlines\tand"),
        ("abc\u202edef\u2066", "abcdef"),
        ("👩\u200d⚕️ 中文", "👩\u200d⚕️ 中文"),
    ],
)
def test_text_of_others_cannot_steer_the_terminal(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("short", 10, "short"),
        ("a  b\n\nc", 10, "a b c"),
        ("abcdefghij", 6, "abcde…"),
        ("中文中文", 8, "中文中文"),
        ("中文中文", 7, "中文中…"),
        ("中文中文", 6, "中文…"),
    ],
)
def test_one_line_counts_columns(text: str, width: int, shown: str) -> None:
    assert one_line(text, width) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.44, "0.4 s"),
        (12.3, "12 s"),
        (185, "3:05 min"),
        (59.4, "59 s"),
        (59.9, "1:00 min"),
        (7800, "2:10:00 h"),
    ],
)
def test_duration(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown

"""What a run leaves on the screen while it works: stage ends, samples, the exam before, the trained example.

The lines come from the artifacts themselves, so a run that finds work done tells the same story.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labtune.artifact import MANIFEST, read_jsonl
from labtune.cli.text import duration, number, one_line
from labtune.types import Json

if TYPE_CHECKING:
    from labtune.cli.live import View
    from labtune.cli.result import Result
    from labtune.workflow.lab import Lab

SHOWN_SAMPLES = 6
SHOWN_BEFORE = 2
STATES = {"up_to_date": "is up to date", "reused": "is reused from an earlier run"}


class Story:
    """Listens to the events of a command and prints what should stay.

    Args:
        lab: whose run it is.
    """

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._run = ""
        self._states: dict[str, str] = {}
        self._notices: set[str] = set()
        self._time: Mapping[str, Json] = {}
        self._fit = ""

    def listen(self, view: View, event: str, fields: Mapping[str, Json]) -> None:
        """Print the lines that an event is worth."""
        match event:
            case "stage.start":
                self._run = str(fields.get("run") or "")
            case "stage.end":
                self._tell_end(view, fields)
            case "notice":
                self._tell_notice(view, str(fields.get("text") or ""))
            case "student.fetch" if fields.get("revision"):
                view.say(f"student {fields.get('student')} is here, commit {fields.get('revision')}")
            case "train.student":
                told = fields.get("licence") or "its card names no licence"
                view.say(f"  student {fields.get('student')}, licence: {told}")
            case "train.example":
                view.say("  one training row as the student sees it; only what stands in [[ ]] is trained:")
                view.say(f"    {one_line(str(fields.get('text') or ''), 600)}", "cyan")
            case "train.plan":
                self._time = fields
            case "train.fit":
                self._tell_fit(view, fields)
            case "train.phase":
                self._tell_phase(view, fields)

    def is_untrained(self) -> bool:
        """Whether the newest run has no tuned student yet, so that the exam before is worth asking."""
        from labtune.workflow.run import latest_run

        return not (latest_run(self._lab) / "train" / MANIFEST).exists()

    def result(self, until: str | None) -> Result:
        """Sum up the newest run, from its files."""
        from labtune.artifact import read_json, read_manifest
        from labtune.cli.result import Result
        from labtune.workflow.run import latest_run
        from labtune.workflow.stages import STAGE_NAMES

        folder = latest_run(self._lab)
        wanted = STAGE_NAMES[: STAGE_NAMES.index(until) + 1] if until else STAGE_NAMES
        stages = []
        for name in wanted:
            manifest = read_manifest(folder / name)
            if manifest is not None:
                stages.append(
                    {
                        "name": name,
                        "state": self._states.get(name, "up_to_date"),
                        "summary": manifest.summary,
                        "seconds": manifest.seconds,
                        "counts": dict(manifest.counts),
                        "path": folder / name,
                    }
                )
        scored = "evaluate" in wanted and (folder / "evaluate" / MANIFEST).exists()
        return Result(
            run_dir=folder,
            stages=stages,
            scores=read_json(folder / "evaluate" / "scores.json") if scored else None,
            answers=list(read_jsonl(folder / "evaluate" / "answers.jsonl")) if scored else [],
            nothing_done=all(stage["state"] == "up_to_date" for stage in stages),
            funnel=read_json(folder / "generate" / "funnel.json") if until == "generate" else {},
        )

    def tell_before(self, view: View, before: Mapping[str, Any]) -> None:
        """The base's result on the exam, and two of its answers."""
        answers = before["answers"]
        right = sum(answer["right"] for answer in answers)
        view.say(f"? exam      before training, the student has {right} of {len(answers)} right", "bold")
        for answer in [answer for answer in answers if not answer["right"]][:SHOWN_BEFORE]:
            tell_answer(view, answer["question"], answer["answer"])

    def tell_funnel(self, view: View) -> None:
        """Where the rows of an unfinished generation were lost, as far as it came."""
        from labtune.artifact import read_json
        from labtune.cli.funnel import funnel_lines

        path = self._lab.runs_dir / self._run / "generate" / "funnel.json"
        if self._run and path.exists():
            for line in funnel_lines(read_json(path), view.width):
                view.say(line)

    def _tell_end(self, view: View, fields: Mapping[str, Json]) -> None:
        stage, state, seconds = str(fields.get("stage")), str(fields.get("state")), fields.get("seconds")
        if stage in self._states:
            return
        self._states[stage] = state
        if state != "done":
            view.say(f"= {stage:8}  {STATES.get(state, state)}: {fields.get('summary')}", "dim")
            return
        took = f" ({duration(seconds)})" if isinstance(seconds, (int, float)) else ""
        view.say(f"✓ {stage:8}  {fields.get('summary')}{took}", "green")
        if stage == "generate":
            for row in spread(self._lab.runs_dir / self._run / "generate" / "samples.jsonl", SHOWN_SAMPLES):
                messages = row["messages"]
                tell_answer(view, f"{row['form']}: {messages[-2]['content']}", messages[-1]["content"])

    def _tell_notice(self, view: View, text: str) -> None:
        # Leaves share their notices; once is enough.
        if text and text not in self._notices:
            self._notices.add(text)
            view.say(f"  note: {text}", "yellow")

    def _tell_fit(self, view: View, fields: Mapping[str, Json]) -> None:
        """Memory and time of the training to come; once, as long as they stay the same."""
        from labtune.training.fit import gib

        size, tokens = fields.get("memory_bytes"), fields.get("micro_tokens")
        if not isinstance(size, (int, float)) or not isinstance(tokens, (int, float)):
            return
        told = f"about {gib(size)} of memory for {number(tokens)} tokens at once"
        if fields.get("divided"):
            told += ", divided to fit" + (
                ", activations computed again" if fields.get("checkpointing") else ""
            )
        seconds, speed = self._time.get("seconds"), self._time.get("tokens_per_second")
        if isinstance(seconds, (int, float)) and isinstance(speed, (int, float)):
            told += f"; about {duration(seconds)} at the {number(speed)} tokens/s of an earlier run"
        if told != self._fit:
            view.say(f"  {told}")
            self._fit, self._time = told, {}

    def _tell_phase(self, view: View, fields: Mapping[str, Json]) -> None:
        score = fields.get("score")
        if fields.get("status") == "done" and isinstance(score, (int, float)):
            best = f"{score:.0%} of the development exam at step {fields.get('step')}"
            view.say(f"  {fields.get('phase')}: best checkpoint has {best}")


def tell_answer(view: View, question: str, answer: str) -> None:
    """A question and what a model said, on two lines."""
    view.say(f"    {one_line(question, view.width - 4)}")
    view.say(f"      -> {one_line(answer, view.width - 9)}", "cyan")


def spread(path: Path, count: int) -> Sequence[Any]:
    """Rows evenly spread over a JSONL file, the same ones each time."""
    rows = list(read_jsonl(path))
    if len(rows) <= count:
        return rows
    return [rows[(2 * index + 1) * len(rows) // (2 * count)] for index in range(count)]

"""Running stages: what is up to date is skipped, what another run has is reused, the rest is done.

A run is a folder `runs/NNNN` with one folder a stage. A stage's folder is finished when its manifest is
there; `claim.json` names the key that unfinished work belongs to, so that an interrupted stage goes on and
stale leftovers are thrown away.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from labtune import __version__
from labtune.artifact import (
    MANIFEST,
    Manifest,
    content_hash,
    file_hash,
    read_json,
    read_manifest,
    write_json,
    write_manifest,
)
from labtune.errors import GateError, UserError
from labtune.models.device_memory import release_memory
from labtune.serving.records import running
from labtune.types import Emit, Json, RunContext, no_events
from labtune.workflow.events import EVENTS, EventLog
from labtune.workflow.lab import Lab
from labtune.workflow.stages import STAGE_NAMES, STAGES, Stage
from labtune.workflow.steps import Step
from labtune.workflow.student import locate_student

CLAIM = "claim.json"
LATEST = "latest"
SERVERS = "servers"
"""Folder in the lab's cache with a record of each running server."""
TRAINING = "train"
FIRST_WITH_STUDENT = "mix"
"""The stage that needs the student first: it counts in its tokens."""


@dataclass(frozen=True, slots=True)
class StageReport:
    """What happened to one stage: `done`, `up_to_date`, or `reused` from an earlier run."""

    name: str
    state: str
    summary: str
    seconds: float
    counts: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class RunReport:
    """What happened in a run."""

    run_dir: Path
    stages: tuple[StageReport, ...]

    @property
    def nothing_done(self) -> bool:
        """True when every stage was up to date."""
        return all(stage.state == "up_to_date" for stage in self.stages)


def runs(lab: Lab) -> list[Path]:
    """All run folders, oldest first."""
    if not lab.runs_dir.is_dir():
        return []
    return sorted(path for path in lab.runs_dir.iterdir() if path.is_dir() and path.name.isdigit())


def latest_run(lab: Lab) -> Path:
    """The newest run.

    Raises:
        UserError: the lab has none.
    """
    found = runs(lab)
    if not found:
        raise UserError(f"{lab.root} has no run yet", hint="labtune run")
    return found[-1]


def run_lab(lab: Lab, *, until: str | None = None, emit: Emit = no_events) -> RunReport:
    """Bring all stages (up to and with `until`) up to date.

    Raises:
        UserError: `until` is not a stage; the taxonomy or a setting is wrong; the lab is locked.
        GateError: the run is complete but missed a gate, such as the retention floor.
        StageError: a stage could not do its work.
    """
    if until is not None and until not in STAGE_NAMES:
        raise UserError(f"there is no stage {until!r}", hint=f"stages: {', '.join(STAGE_NAMES)}")
    with lab.locked():
        return _Runner(lab, emit).run(until)


class _Runner:
    """The state of one call of `run_lab`: which run folder is current."""

    def __init__(self, lab: Lab, emit: Emit) -> None:
        self._lab = lab
        self._then = emit
        existing = runs(lab)
        self._dir = existing[-1] if existing else lab.runs_dir / "0001"

    def run(self, until: str | None) -> RunReport:
        reports: list[StageReport] = []
        finished: list[Stage] = []
        failed_gate: str | None = None
        if until is None or STAGE_NAMES.index(until) >= STAGE_NAMES.index(FIRST_WITH_STUDENT):
            # Before any work, and before a teacher is paid: a student that cannot be had ends the run now.
            locate_student(self._lab, self._then)
        for stage in STAGES:
            report, manifest = self._bring_up_to_date(stage, finished)
            reports.append(report)
            finished.append(stage)
            failed_gate = manifest.failed_gate or failed_gate
            if stage.name == until:
                break
        if failed_gate:
            raise GateError(failed_gate, hint=f"the run is kept in {self._dir}; it is not promoted")
        return RunReport(self._dir, tuple(reports))

    def _emit(self, event: str, fields: Mapping[str, Json]) -> None:
        EventLog(self._dir / EVENTS, self._then)(event, fields)

    def _bring_up_to_date(self, stage: Stage, finished: list[Stage]) -> tuple[StageReport, Manifest]:
        step = stage.load()(self._lab, {name: self._dir / name for name in stage.inputs})
        key = content_hash(stage.name, stage.revision, __version__, step.inputs, step.config, self._seed)
        present = read_manifest(self._dir / stage.name)
        if present is not None and present.key == key:
            return self._idle(stage, "up_to_date", present), present
        if present is not None:
            self._start_new_run(finished)
        reused = self._reuse(stage, key)
        if reused is not None:
            self._point_latest()
            return self._idle(stage, "reused", reused), reused
        manifest = self._do(stage, step, key)
        return StageReport(stage.name, "done", manifest.summary, manifest.seconds, manifest.counts), manifest

    def _idle(self, stage: Stage, state: str, manifest: Manifest) -> StageReport:
        """A stage with nothing to do: whoever listens is told; the run's log holds only what was done."""
        self._then(
            "stage.end", {"stage": stage.name, "state": state, "summary": manifest.summary, "seconds": 0.0}
        )
        return StageReport(stage.name, state, manifest.summary, 0.0, manifest.counts)

    @property
    def _seed(self) -> int:
        return self._lab.config.lab.seed

    def _start_new_run(self, finished: list[Stage]) -> None:
        previous = self._dir
        self._dir = self._lab.runs_dir / f"{int(previous.name) + 1:04d}"
        for stage in finished:
            _link_tree(previous / stage.name, self._dir / stage.name)

    def _reuse(self, stage: Stage, key: str) -> Manifest | None:
        for run in reversed(runs(self._lab)):
            manifest = read_manifest(run / stage.name)
            if run != self._dir and manifest is not None and manifest.key == key:
                shutil.rmtree(self._dir / stage.name, ignore_errors=True)
                _link_tree(run / stage.name, self._dir / stage.name)
                return manifest
        return None

    def _do(self, stage: Stage, step: Step, key: str) -> Manifest:
        folder = self._dir / stage.name
        claim = folder / CLAIM
        resumed = claim.exists() and read_json(claim) == {"key": key}
        if folder.exists() and not resumed:
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(claim, {"key": key})
        self._point_latest()
        self._emit("stage.start", {"stage": stage.name, "resumed": resumed, "run": self._dir.name})
        # Teacher, trainer and exam take turns: the next one finds the memory that the last one had.
        release_memory()
        if stage.name == TRAINING:
            self._tell_servers()
        started, clock = datetime.now(UTC), time.perf_counter()
        outcome = step.work(RunContext(folder, self._lab.cache_dir, self._seed, self._emit))
        claim.unlink()
        seconds = time.perf_counter() - clock
        files = dict(_files(folder))
        content = {name: value for name, value in files.items() if name not in stage.volatile}
        manifest = Manifest(
            stage=stage.name,
            id=content_hash(content),
            key=key,
            inputs=step.inputs,
            config=step.config,
            seed=self._seed,
            code_version=__version__,
            files=files,
            counts=outcome.counts,
            summary=outcome.summary,
            started_at=started.isoformat(timespec="seconds"),
            seconds=round(seconds, 3),
            failed_gate=outcome.failed_gate,
        )
        write_manifest(folder, manifest)
        self._emit(
            "stage.end",
            {"stage": stage.name, "state": "done", "summary": outcome.summary, "seconds": round(seconds, 1)},
        )
        return manifest

    def _tell_servers(self) -> None:
        """Servers of this lab keep memory that training may need."""
        for record in running(self._lab.cache_dir / SERVERS):
            text = f"{record.live} is being served by process {record.pid} and keeps its memory"
            self._emit("notice", {"text": f"{text}; end that labtune serve if training runs short"})

    def _point_latest(self) -> None:
        link = self._lab.runs_dir / LATEST
        if link.is_symlink() and link.readlink() == Path(self._dir.name):
            return
        fresh = self._lab.runs_dir / f".{LATEST}.new"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(self._dir.name)
        fresh.replace(link)


def _files(folder: Path) -> Iterator[tuple[str, str]]:
    """Name and hash of each file of an artifact; hidden files and resume points are not part of it."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != MANIFEST and not any(part.startswith(".") for part in name.split("/")):
            yield name, file_hash(path)


def _link_tree(source: Path, target: Path) -> None:
    """Share a finished artifact with another run: hard links, since artifacts never change; manifest last."""
    files = [path for path in source.rglob("*") if path.is_file()]
    for path in sorted(files, key=lambda item: item.name == MANIFEST):
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, place)
        except FileExistsError:
            continue
        except OSError:
            # Other file systems have no hard links.
            shutil.copy2(path, place)

"""Tuning by several processes: what each of them is told, and how their first one's news come home.

The processes may run on other machines, so what they are told is a small file in the lab, which lies on a
file system that all of them see. The first process appends its events to a second file that is followed here,
and leaves the outcome in a third.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from labtune.artifact import Curated, Dataset, read_json, write_json
from labtune.config.lab import EvaluateConfig, TrainConfig
from labtune.errors import EngineError
from labtune.protocols import OpenExecutor
from labtune.types import Emit, Json, RunContext, StageOutcome, no_events
from labtune.workflow.events import EventLog

TARGET = "labtune.workflow.gang:tune"
FOLDER = ".gang"
EVENTS, JOB, OUTCOME = "events.jsonl", "job.json", "outcome.json"
FOLLOW_S = 0.2


@dataclass(frozen=True, slots=True)
class Tuning:
    """What a process needs to know; folders are absolute."""

    dataset: Path
    curated: Path
    student: Path
    train: TrainConfig
    evaluate: EvaluateConfig
    sharding: str


def tune_in_gang(tuning: Tuning, run: RunContext, open_executor: OpenExecutor) -> StageOutcome:
    """Have the engine's gang tune; goes on from the last resume point, whoever made it.

    Raises:
        EngineError: processes were lost too often, or cannot see the lab.
        TrainingError, ModelError, DataError, ConfigError: as `training.train.train`.
    """
    folder = run.out_dir.absolute() / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name in (EVENTS, OUTCOME):
        (folder / name).unlink(missing_ok=True)
    write_json(
        folder / JOB,
        {
            **{name: str(path) for name, path in _folders(tuning, run).items()},
            "train": tuning.train.model_dump(),
            "evaluate": tuning.evaluate.model_dump(),
            "sharding": tuning.sharding,
            "seed": run.seed,
        },
    )
    with followed(folder / EVENTS, run.emit), open_executor() as executor:
        executor.launch(TARGET, str(folder / JOB))
    if not (folder / OUTCOME).exists():
        raise EngineError(
            f"the processes that tuned left nothing in {folder}",
            hint="the lab must lie on a file system that all nodes of the engine share",
        )
    value = read_json(folder / OUTCOME)
    shutil.rmtree(folder)
    return StageOutcome(value["counts"], value["summary"], value["failed_gate"])


def _folders(tuning: Tuning, run: RunContext) -> dict[str, Path]:
    return {
        "dataset": tuning.dataset.absolute(),
        "curated": tuning.curated.absolute(),
        "student": tuning.student.absolute(),
        "out": run.out_dir.absolute(),
        "cache": run.cache_dir.absolute(),
    }


def tune(job: str) -> None:
    """One process's part; `job` is the path of the job's file.

    Raises:
        EngineError: this machine does not see the lab.
        LabtuneError: as `tune_in_gang`.
    """
    from labtune.evaluation.select import development_score
    from labtune.training.distributed import first_of_all
    from labtune.training.train import train

    path = Path(job)
    if not path.is_file():
        raise EngineError(
            f"a worker does not see {path}",
            hint="the lab must lie on a file system that all nodes of the engine share",
        )
    told = read_json(path)
    evaluate = EvaluateConfig(**told["evaluate"])
    is_first = first_of_all()
    emit: Emit = EventLog(path.with_name(EVENTS), no_events) if is_first else no_events
    outcome = train(
        Dataset(Path(told["dataset"])),
        config=TrainConfig(**told["train"]),
        run=RunContext(Path(told["out"]), Path(told["cache"]), told["seed"], emit),
        student=Path(told["student"]),
        select=lambda model: development_score(model, Curated(Path(told["curated"])).exam(), evaluate),
        sharding=told["sharding"],
    )
    if is_first:
        write_json(path.with_name(OUTCOME), asdict(outcome))


@contextmanager
def followed(path: Path, emit: Emit) -> Iterator[None]:
    """Pass on the events that another process appends to a file while the block runs, to the last one."""
    ended = threading.Event()
    follower = threading.Thread(target=_follow, args=(path, emit, ended), name="labtune-events", daemon=True)
    follower.start()
    try:
        yield
    finally:
        ended.set()
        follower.join()


def _follow(path: Path, emit: Emit, ended: threading.Event) -> None:
    place = 0
    while True:
        last = ended.wait(FOLLOW_S)
        if path.exists():
            with path.open("rb") as stream:
                stream.seek(place)
                data = stream.read()
            whole = data[: data.rfind(b"\n") + 1]
            place += len(whole)
            for line in whole.splitlines():
                _pass_on(line, emit)
        if last:
            return


def _pass_on(line: bytes, emit: Emit) -> None:
    try:
        event: Any = json.loads(line)
    except ValueError:
        # Two processes never write at once, but a killed one may have left half a line.
        return
    if isinstance(event, dict) and "event" in event:
        fields: Mapping[str, Json] = {
            name: value for name, value in event.items() if name not in ("event", "time")
        }
        emit(str(event["event"]), fields)

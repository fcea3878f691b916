"""What each tuning method could do on this machine for a given student: fits or not, how, how fast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from labtune.artifact import read_json
from labtune.config.lab import StudentConfig, TrainConfig
from labtune.config.layers import LoadedConfig
from labtune.errors import LabtuneError, ModelError
from labtune.models.headers import shapes_on_hub
from labtune.models.hub import HubModel
from labtune.models.student import is_hub_id, resolve_student
from labtune.training.anatomy import Anatomy, describe, read_anatomy
from labtune.training.estimate import Course, flops_per_token
from labtune.training.fit import METHODS, fit, usual_shape
from labtune.training.machine import Machine, this_machine
from labtune.types import Json, RunContext
from labtune.workflow.lab import CACHE, RUNS
from labtune.workflow.outlook import facts_of

METRICS = "metrics.json"
CEILINGS = "ceilings.json"
"""What training writes: figures of a run, and what this machine's matrix products can do."""


@dataclass(frozen=True, slots=True)
class Prospect:
    """One method on this machine.

    Attributes:
        method: its name.
        fits: whether it can be used here; None = not on this kind of device.
        micro_tokens: tokens that go through the student at once; None where it does not fit.
        accumulation: micro-batches in an optimiser step, likewise.
        checkpointing: whether activations are computed again, likewise.
        memory: bytes at the peak, estimated; of the smallest way where none fits, None on another device.
        tokens_per_second: measured in an earlier run of this student and method on this machine.
        at_most: tokens/s if the device did nothing but the model's products at their measured ceiling.
        note: what else is to be said.
    """

    method: str
    fits: bool | None
    micro_tokens: int | None = None
    accumulation: int | None = None
    checkpointing: bool | None = None
    memory: int | None = None
    tokens_per_second: float | None = None
    at_most: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Outlook:
    """A student on this machine."""

    student: str
    anatomy: Anatomy
    machine: Machine
    prospects: tuple[Prospect, ...]


def look_ahead(config: LoadedConfig, machine: Machine, *, base: Path, lab: Path | None = None) -> Outlook:
    """Ask for each method whether, how and how fast it could tune the student here; nothing is loaded.

    Args:
        config: the settings; those that depend on the method are chosen anew for each.
        machine: what is at hand.
        base: folder that a student's relative path is looked for in first.
        lab: folder of the lab whose runs measured speeds.

    Raises:
        ModelError: there is no such student, or it cannot be read.
    """
    anatomy = anatomy_of(config.lab.student, base)
    speeds = measured_speeds(lab / RUNS, anatomy, machine) if lab else {}
    ceiling = measured_ceiling(lab / CACHE / CEILINGS, machine, config.lab.train.precision) if lab else None
    prospects = []
    for method in METHODS:
        found = _prospect(method, anatomy, config, machine, ceiling)
        prospects.append(replace(found, tokens_per_second=speeds.get(method)))
    return Outlook(config.lab.student.name, anatomy, machine, tuple(prospects))


def anatomy_of(student: StudentConfig, base: Path) -> Anatomy:
    """The shapes of a student on this machine or, without its weights, on the hub. Raises ModelError."""
    try:
        return read_anatomy(resolve_student(student.model_copy(update={"offline": True}), base=base))
    except ModelError:
        if student.offline or not is_hub_id(student.model) or (base / student.model).exists():
            raise
    shown = shapes_on_hub(HubModel(student.model, student.revision, student.mirror))
    return describe(shown.config, shown.shapes, stored_bytes=shown.bytes, where=student.name)


def measured_speeds(runs: Path, student: Anatomy, machine: Machine) -> dict[str, float]:
    """By method, tokens/s of the newest training of this student's size on this device."""
    speeds: dict[str, float] = {}
    for path in sorted(runs.glob(f"*/train/{METRICS}"), key=lambda one: one.stat().st_mtime):
        try:
            trained: Mapping[str, Any] = read_json(path).get("on", {})
        except LabtuneError:
            continue
        if (trained.get("device"), trained.get("parameters")) == (machine.name, student.parameters):
            speeds[str(trained["method"])] = float(read_json(path)["tokens_per_second"])
    return speeds


def measured_ceiling(cache: Path, machine: Machine, precision: str) -> float | None:
    """FLOPs per second of a large matrix product, if a training in this lab measured it on this device."""
    if not cache.is_file():
        return None
    known = {
        key: float(value) for key, value in read_json(cache).items() if key.startswith(f"{machine.name} |")
    }
    return max((value for key, value in known.items() if f"| {precision} |" in key), default=None)


def telling_time(run: RunContext, runs: Path, config: TrainConfig, student: Path) -> RunContext:
    """`run` with the time that the planned tokens will take, where an earlier run here measured the speed.

    Adds `tokens_per_second` and `seconds` to `train.plan`, which comes before the student is loaded.
    """

    def emit(event: str, fields: Mapping[str, Json]) -> None:
        if event == "train.plan":
            machine = this_machine(config.device)
            speed = measured_speeds(runs, read_anatomy(student), machine).get(config.method)
            if speed:
                seconds = round(float(cast(int, fields["tokens"])) / speed, 1)
                fields = {**fields, "tokens_per_second": speed, "seconds": seconds}
        run.emit(event, fields)

    return replace(run, emit=emit)


def _prospect(
    method: str,
    student: Anatomy,
    config: LoadedConfig,
    machine: Machine,
    ceiling: float | None,
) -> Prospect:
    if method == "qlora" and machine.device != "cuda":
        return Prospect(method, None, note="needs a CUDA GPU")
    settings = _settings(method, student, config)
    choice = fit(student, settings, machine, usual_shape(settings))
    if not choice.fits:
        return Prospect(method, False, memory=choice.memory.total, note="does not fit")
    course = Course.of(settings, machine.device, checkpointing=choice.checkpointing)
    return Prospect(
        method,
        True,
        choice.micro_tokens,
        choice.accumulation,
        choice.checkpointing,
        choice.memory.total,
        at_most=ceiling / flops_per_token(student, course, settings.max_length) if ceiling else None,
    )


def _settings(method: str, student: Anatomy, config: LoadedConfig) -> TrainConfig:
    """The training's settings if it were done by `method`."""
    wanted = config.lab.train.model_copy(update={"method": method})
    asked = LoadedConfig(config.lab.model_copy(update={"train": wanted}), config.origins, config.sources)
    return asked.informed(facts_of(student, method, None)).lab.train

"""Asking models outside the stages: the exam before any training, and which run's model is meant."""

from __future__ import annotations

from pathlib import Path

from labtune.artifact import Curated, read_manifest
from labtune.errors import UserError
from labtune.types import Emit, Json, RunContext, no_events
from labtune.workflow.lab import Lab
from labtune.workflow.run import latest_run, runs
from labtune.workflow.student import locate_student


def exam_before(lab: Lab, *, emit: Emit = no_events) -> dict[str, Json]:
    """Ask the untuned student the test questions of the newest run's exam.

    The answers are cached: the evaluation after training does not ask the base again.

    Raises:
        UserError: the lab has no curated run yet.
    """
    from labtune.evaluation.answers import model_identity
    from labtune.evaluation.before import ask_before
    from labtune.models.hf import HfChatModel

    run = latest_run(lab)
    if read_manifest(run / "curate") is None:
        raise UserError(f"{run} has no exam yet", hint="labtune generate")
    config = lab.config.lab
    student = locate_student(lab)
    base = HfChatModel.load(student, name=config.student.name)
    context = RunContext(run / "curate", lab.cache_dir, config.seed, emit)
    return ask_before(
        base,
        Curated(run / "curate"),
        config=config.evaluate,
        run=context,
        base_id=model_identity(student),
    )


def find_tuned(lab: Lab, run: str | None = None) -> Path:
    """Folder of the run whose tuned model is meant: the named one, or the newest that has one.

    Raises:
        UserError: there is no such run, or none is tuned yet.
    """
    candidates = [folder for folder in runs(lab) if run is None or folder.name == run]
    if run is not None and not candidates:
        names = ", ".join(folder.name for folder in runs(lab)) or "none"
        raise UserError(f"there is no run {run!r} in {lab.root}", hint=f"runs: {names}")
    for folder in reversed(candidates):
        if read_manifest(folder / "train") is not None:
            return folder
    raise UserError(f"{lab.root} has no tuned model yet", hint="labtune run")

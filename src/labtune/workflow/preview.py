"""`generate --preview`: try the lab's pipeline on a few rows of each leaf."""

from __future__ import annotations

from typing import Any

from labtune.artifact import Curated
from labtune.errors import UserError
from labtune.types import Emit, RunContext, no_events
from labtune.workflow.lab import Lab
from labtune.workflow.run import latest_run, run_lab


def preview(lab: Lab, *, rows: int, emit: Emit = no_events) -> dict[str, Any]:
    """Every step for `rows` rows of each leaf, and an estimate of the whole; writes no samples.

    The taxonomy is curated first. Replies are journaled: the run does not pay for them again.

    Raises:
        UserError: the lab's teacher is the built-in one, which asks nobody and costs nothing.
        EndpointError, BudgetReached, ConfigError: as `generate` does.
    """
    from labtune.generation.preview import preview_with_models
    from labtune.workflow.faculty import open_faculty, pipeline_of

    teacher = lab.config.lab.teacher
    if teacher == "builtin":
        raise UserError(
            "a preview shows what a teacher model is asked; the built-in teacher asks nobody",
            hint="labtune generate, or set teacher: {endpoint: URL, model: NAME}",
        )
    config = lab.config.lab.generate
    pipeline = pipeline_of(lab, config)
    run_lab(lab, until="curate", emit=emit)
    folder = latest_run(lab)
    with lab.locked():
        return preview_with_models(
            Curated(folder / "curate"),
            config=config,
            run=RunContext(folder / "generate", lab.cache_dir, lab.config.lab.seed, emit),
            pipeline=pipeline,
            open_faculty=lambda: open_faculty(lab, teacher, emit),
            rows=rows,
        )

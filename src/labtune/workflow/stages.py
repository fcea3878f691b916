"""The stages of the method, in order: what each reads, what it emits, and the function that does it.

Reading this table imports none of the work: functions are dotted paths.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, cast

from labtune.artifact import Artifact, Checkpoint, Curated, Dataset, SampleSet, ScoreReport

if TYPE_CHECKING:
    from labtune.workflow.steps import Step


@dataclass(frozen=True, slots=True)
class Stage:
    """One row of the table.

    Attributes:
        name: the verb, and the folder in a run.
        inputs: stages whose artifacts it reads, each an earlier row (empty: reads the taxonomy itself).
        output: type of the artifact it emits.
        step: `module:function` that binds the lab to the stage's work (see `steps.Step`).
        revision: raised when the stage's code changes what it makes from the same input.
        volatile: files of the output that tell about the run (times, logs) and are not its content.
    """

    name: str
    inputs: tuple[str, ...]
    output: type[Artifact]
    step: str
    revision: int = 1
    volatile: tuple[str, ...] = ()

    def load(self) -> Callable[..., Step]:
        """Import the stage's binding."""
        module, _, attribute = self.step.partition(":")
        return cast("Callable[..., Step]", getattr(import_module(module), attribute))


STAGES = (
    Stage("curate", (), Curated, "labtune.workflow.steps:curate"),
    Stage("generate", ("curate",), SampleSet, "labtune.workflow.steps:generate"),
    Stage("mix", ("curate", "generate"), Dataset, "labtune.workflow.steps:mix"),
    Stage(
        "train",
        ("curate", "mix"),
        Checkpoint,
        "labtune.workflow.steps:train",
        volatile=("metrics.json", "journal.jsonl"),
    ),
    Stage("evaluate", ("curate", "train"), ScoreReport, "labtune.workflow.steps:evaluate"),
)

STAGE_NAMES = tuple(stage.name for stage in STAGES)

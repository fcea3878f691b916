"""Exporting a run's tuned model, or any model folder, with prompts from the lab's own exam."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from labtune.artifact import Curated, read_manifest
from labtune.builtin import GENERAL_EXAM
from labtune.errors import UserError
from labtune.types import ExamQuestion, Message
from labtune.workflow.lab import Lab
from labtune.workflow.target import find_target

if TYPE_CHECKING:
    from labtune.export.export import Exported, Form, Tell

EXPORTS = "exports"


@dataclass(frozen=True, slots=True)
class ExportOrder:
    """What a person asked for.

    Attributes:
        target: a run's number, `tuned`, `base` or a path; None: the newest tuned run.
        form: `gguf` or `safetensors`.
        kind: number format; empty: the form's usual one.
        out: folder that receives it; None: `exports` in the lab, or here.
        prompts: how many prompts the parity test takes; 0: no test.
        max_tokens: longest reply of the parity test.
        force: replace what already stands there.
    """

    target: str | None
    form: Form
    kind: str
    out: Path | None
    prompts: int
    max_tokens: int
    force: bool


def export_model(lab: Lab | None, order: ExportOrder, tell: Tell) -> tuple[Exported, str]:
    """Export what was asked for; also say in one line which model it is.

    Raises:
        UserError: no such run or path, or the target exists.
        GateError: the exported model says something else than the tuned one; it is kept under another name.
        ExportError: it cannot be written in this form, or there is no room.
        ModelError: the model or its engine failed.
    """
    from labtune.export.export import Request, export

    target = find_target(lab, order.target)
    if target.kind != "safetensors":
        raise UserError(
            f"{target.path} is a GGUF file already",
            hint="export from the folder or run that it was made from",
        )
    home = lab.root if lab is not None else Path.cwd()
    request = Request(
        source=target.path,
        name=target.name,
        out=(order.out or home / EXPORTS).expanduser(),
        form=order.form,
        kind=order.kind,
        chats=parity_chats(lab, target.run, order.prompts),
        max_tokens=order.max_tokens,
        force=order.force,
    )
    return export(request, tell), target.live


def parity_chats(lab: Lab | None, run: str | None, count: int) -> list[tuple[Message, ...]]:
    """Prompts for the parity test: half from the run's exam, the rest from the general one, evenly spread."""
    from labtune.evaluation.answers import chat_of
    from labtune.evaluation.general import load_general_exam

    own: list[ExamQuestion] = []
    if lab is not None and run is not None and read_manifest(lab.runs_dir / run / "curate") is not None:
        own = Curated(lab.runs_dir / run / "curate").exam()
    chosen = spread(own, min(len(own), (count + 1) // 2))
    general = load_general_exam(GENERAL_EXAM).items
    return [chat_of(question) for question in (*chosen, *spread(general, count - len(chosen)))]


def spread(questions: Sequence[ExamQuestion], count: int) -> list[ExamQuestion]:
    """`count` of the questions, evenly spaced, the same ones each time."""
    count = min(count, len(questions))
    return [questions[(2 * place + 1) * len(questions) // (2 * count)] for place in range(count)]

"""What `run` and the single stages share: bring stages up to date, tell it, sum it up."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from labtune.cli.document import print_document
from labtune.cli.presenter import present
from labtune.errors import BudgetReached, GateError, GenerationError

if TYPE_CHECKING:
    from labtune.cli.live import View
    from labtune.cli.story import Story
    from labtune.workflow.lab import Lab

LIBRARY_LOG = "libraries.log"


def bring_up_to_date(
    command: str,
    folder: Path,
    overrides: Sequence[str],
    *,
    as_json: bool,
    budget: str = "",
    then: Callable[[Path], Mapping[str, object]] | None = None,
) -> None:
    """Run the stages up to `command` (`run` = all) with the live view; then print the result.

    `budget` bounds what teacher models may cost. `then` does more with the run's folder and returns fields of
    the JSON document. A missed gate is told after the result, and is the exit code.
    """
    from labtune.cli.live import live_view
    from labtune.cli.story import Story
    from labtune.workflow.lab import Lab

    lab = Lab.open(folder, overrides=overrides, budget=checked_budget(budget))
    story, gate = Story(lab), None
    with live_view(lab.cache_dir / LIBRARY_LOG, [story.listen]) as view:
        try:
            _run(command, lab, view, story)
        except GateError as error:
            gate = error
        except GenerationError:
            story.tell_funnel(view)
            raise
        except BudgetReached as error:
            story.tell_funnel(view)
            again = shlex.join(["labtune", *sys.argv[1:]])
            raise BudgetReached(error.message, hint=f"go on with: {again} (nothing is paid twice)") from error
    result = story.result(until=None if command == "run" else command)
    more = then(result.run_dir) if then is not None else {}
    if as_json:
        print_document(command, {**result.document(gate), **more})
    else:
        result.show()
    if gate is not None:
        present(gate.message, gate.hint)
        raise typer.Exit(gate.exit_code)


def checked_budget(text: str) -> str:
    """The budget as it was typed.

    Raises:
        ConfigError: it is malformed.
    """
    if text:
        from labtune.models.endpoint.budget import Budget

        Budget.parse(text)
    return text


def _run(command: str, lab: Lab, view: View, story: Story) -> None:
    from labtune.workflow.ask import exam_before
    from labtune.workflow.run import run_lab

    if command != "run":
        run_lab(lab, until=command, emit=view.emit)
        return
    run_lab(lab, until="mix", emit=view.emit)
    if story.is_untrained():
        # The base's answers are cached: the evaluation after training does not ask them again.
        view.progress.begin("exam before training")
        story.tell_before(view, exam_before(lab, emit=view.emit))
    run_lab(lab, emit=view.emit)

"""`labtune run`: all stages, told in order."""

from __future__ import annotations

from labtune.cli.options import HERE, BudgetOption, JsonOption, LabOption, SetOption
from labtune.cli.stage import bring_up_to_date


def run(
    lab: LabOption = HERE, sets: SetOption = None, budget: BudgetOption = "", as_json: JsonOption = False
) -> None:
    """Do all stages that are out of date: check, generate, mix, train, evaluate.

    Shows the exam before and after, what was learned and what was kept. An interrupted run goes on where
    it stopped; a run with nothing to do says so.
    """
    bring_up_to_date("run", lab, sets or (), as_json=as_json, budget=budget)

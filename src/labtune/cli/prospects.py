"""The table of `labtune doctor --student`: method, whether it fits, how, how much memory, how fast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from labtune.config.defaults import short_number

if TYPE_CHECKING:
    from labtune.workflow.prospects import Outlook, Prospect

HEADER = ("method", "fits", "memory", "at once", "times", "checkpointing", "tokens/s")


def lines_of(outlook: Outlook) -> list[str]:
    """The student, the machine, the table, and what the figures are."""
    from labtune.training.fit import gib

    student, machine = outlook.anatomy, outlook.machine
    rows = [HEADER, *(_row(one) for one in outlook.prospects)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    return [
        f"student   {outlook.student}: {student.family}, {short_number(student.parameters)} parameters, "
        f"{student.layers} layers, {gib(student.stored_bytes)} on disk",
        f"machine   {machine.name}, {gib(machine.free)} free of {gib(machine.total)}",
        "",
        *(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ),
        "",
        "Memory is estimated from the student's shapes (docs/fit.md); tokens/s come from a run of this lab.",
    ]


def fields_of(outlook: Outlook) -> dict[str, object]:
    """The fields of the JSON document."""
    student, machine = outlook.anatomy, outlook.machine
    return {
        "student": {
            "name": outlook.student,
            "family": student.family,
            "parameters": student.parameters,
            "layers": student.layers,
            "stored_bytes": student.stored_bytes,
        },
        "machine": {
            "device": machine.device,
            "name": machine.name,
            "free_bytes": machine.free,
            "total_bytes": machine.total,
        },
        "methods": [_fields(one) for one in outlook.prospects],
    }


def _row(one: Prospect) -> Sequence[str]:
    from labtune.training.fit import gib

    if one.fits is None:
        return one.method, "-", one.note, "", "", "", ""
    needed = "" if one.memory is None else gib(one.memory)
    if not one.fits:
        return one.method, "no", needed, "", "", "", ""
    speed = "not measured" if one.tokens_per_second is None else f"{one.tokens_per_second:,.0f}"
    if one.at_most is not None:
        speed += f" (at most {one.at_most:,.0f})"
    return (
        one.method,
        "yes",
        needed,
        f"{one.micro_tokens:,} tokens",
        f"{one.accumulation}",
        "yes" if one.checkpointing else "no",
        speed,
    )


def _fields(one: Prospect) -> dict[str, object]:
    return {
        "method": one.method,
        "fits": one.fits,
        "memory_bytes": one.memory,
        "micro_tokens": one.micro_tokens,
        "accumulation": one.accumulation,
        "checkpointing": one.checkpointing,
        "tokens_per_second": one.tokens_per_second,
        "at_most_tokens_per_second": one.at_most,
        "note": one.note,
    }

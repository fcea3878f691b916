"""A data set as InstructLab's trainer takes it: one `messages` file for knowledge, one for skills."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from labtune.artifact import Dataset
from labtune.mixing.messages import PLAIN, restore, write_chats
from labtune.types import Json, TrainingRow

FILES = {
    "knowledge_train_msgs.jsonl": ("knowledge-short", "knowledge-long", "pretraining"),
    "skills_train_msgs.jsonl": ("skills", "single", "instruction"),
}
"""The files of InstructLab's two training phases, and the phases whose rows they take, in order."""


def export_instructlab(dataset: Dataset, folder: Path, *, system_prompt: str | None = None) -> dict[str, int]:
    """Write the phases of a data set as InstructLab's files; a file without rows is left out.

    Rows that came from such a file are written as they stood there; the others' `metadata` is their lineage.

    Args:
        dataset: what mixing made.
        folder: is made; files in it are replaced.
        system_prompt: begins every chat, in place of the system turns it has.

    Returns:
        Rows by file name.

    Raises:
        DataError: the data set is malformed.
    """
    present = dataset.phases()
    written: dict[str, int] = {}
    for name, phases in FILES.items():
        wanted = [phase for phase in phases if phase in present]
        if wanted:
            written[name] = write_chats(folder / name, _lines(dataset, wanted, system_prompt))
    return written


def _lines(dataset: Dataset, phases: Sequence[str], system_prompt: str | None) -> Iterator[dict[str, Json]]:
    for phase in phases:
        for row in dataset.rows(phase):
            value = _line(row)
            if system_prompt:
                value["messages"] = _with_system(value["messages"], system_prompt)
            yield value


def _line(row: TrainingRow) -> dict[str, Json]:
    columns = row.metadata.get("columns")
    if isinstance(columns, str) and columns:
        return restore(columns, row.messages, row.text)
    messages: list[Json] = [{"content": turn.content, "role": turn.role} for turn in row.messages]
    if row.text:
        messages = [{"content": row.text, "role": PLAIN}]
    lineage = {
        **{name: value for name, value in row.metadata.items() if name != "columns"},
        "leaf": row.leaf,
        "origin": row.origin,
    }
    return {
        "messages": messages,
        "metadata": json.dumps(lineage, ensure_ascii=False, sort_keys=True),
        "id": row.id,
        "unmask": row.unmask or bool(row.text),
    }


def _with_system(messages: Json, system_prompt: str) -> list[Json]:
    turns = messages if isinstance(messages, list) else []
    kept = [turn for turn in turns if not (isinstance(turn, dict) and turn.get("role") == "system")]
    return [{"content": system_prompt, "role": "system"}, *kept]

"""Artifacts: folders with data and a manifest that is written last, so its presence means "complete".

Every file is written to a temporary neighbour and renamed: a reader sees the old file or the new one.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from labtune.errors import DataError
from labtune.types import Chunk, Document, ExamQuestion, Json, Leaf, Rejection, Sample, TrainingRow

T = TypeVar("T")
MANIFEST = "manifest.json"
MANIFEST_SCHEMA = 1


def content_hash(*parts: object) -> str:
    """64 hex digits over the canonical JSON of `parts` (dataclasses and paths allowed)."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(canonical_json(part).encode())
        digest.update(b"\0")
    return digest.hexdigest()


def canonical_json(value: object) -> str:
    """The one JSON text of a value: sorted keys, no spaces, UTF-8 kept."""
    return json.dumps(value, default=_plain, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no canonical JSON")


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_bytes(path: Path, data: bytes) -> None:
    """Replace `path` atomically; parents are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Replace `path` atomically with UTF-8 text."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: object) -> None:
    """Replace `path` atomically with indented, key-sorted JSON."""
    write_text(path, json.dumps(value, default=_plain, ensure_ascii=False, sort_keys=True, indent=1) + "\n")


def write_jsonl(path: Path, rows: Iterable[object]) -> int:
    """Replace `path` atomically with one JSON object a line; returns the number of rows."""
    lines = [json.dumps(row, default=_plain, ensure_ascii=False, sort_keys=True) for row in rows]
    write_text(path, "".join(f"{line}\n" for line in lines))
    return len(lines)


def read_json(path: Path) -> Any:
    """Parse a JSON file.

    Raises:
        DataError: missing or malformed; the message names file and position.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not JSON: {error}") from error


def read_jsonl(path: Path) -> Iterator[Any]:
    """Yield the objects of a JSONL file (gzip when it ends in .gz).

    Raises:
        DataError: missing file or malformed line; the message names file and line.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8") as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    try:
                        yield json.loads(line)
                    except json.JSONDecodeError as error:
                        raise DataError(f"{path}:{number} is not JSON: {error.msg}") from error
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing") from error


def _reader(kind: type[T]) -> Callable[[object], T]:
    # pydantic builds nested frozen dataclasses from plain JSON and checks them; it is slow to import.
    from pydantic import TypeAdapter

    return TypeAdapter(kind).validate_python


def read_rows(path: Path, kind: type[T]) -> Iterator[T]:
    """Yield the rows of a JSONL file as `kind` (a dataclass of `labtune.types`).

    Raises:
        DataError: a row does not fit; the message names file and row.
    """
    from pydantic import ValidationError

    read = _reader(kind)
    for number, row in enumerate(read_jsonl(path), 1):
        try:
            yield read(row)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise DataError(f"{path} row {number}: {where}: {first['msg']}") from error


@dataclasses.dataclass(frozen=True, slots=True)
class Manifest:
    """The identity of an artifact.

    `id` is the hash of the data files (name and content). `key` is the hash of everything that determines
    them: stage, inputs' ids, config slice, seed, code version; equal key = up to date.
    """

    stage: str
    id: str
    key: str
    inputs: Mapping[str, str]
    config: Mapping[str, Json]
    seed: int
    code_version: str
    files: Mapping[str, str]
    counts: Mapping[str, Json]
    summary: str
    started_at: str
    seconds: float
    failed_gate: str | None = None
    schema: int = MANIFEST_SCHEMA


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a finished artifact, or None when the folder holds none.

    Raises:
        DataError: the manifest is malformed.
    """
    path = folder / MANIFEST
    if not path.exists():
        return None
    value = read_json(path)
    try:
        return Manifest(**value)
    except TypeError as error:
        raise DataError(
            f"{path} is not a manifest: {error}", hint=f"delete {folder} and run again"
        ) from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Finish an artifact."""
    write_json(folder / MANIFEST, manifest)


@dataclasses.dataclass(frozen=True, slots=True)
class Artifact:
    """What a stage emitted: a folder."""

    path: Path

    @property
    def manifest(self) -> Manifest:
        """The manifest of the finished artifact. Raises DataError when it is not finished."""
        manifest = read_manifest(self.path)
        if manifest is None:
            raise DataError(f"{self.path} is not finished", hint="labtune run")
        return manifest


class Curated(Artifact):
    """The curated taxonomy: leaves, documents, chunks, and the exam that training never sees."""

    def leaves(self) -> list[Leaf]:
        """All leaves, sorted by path."""
        return list(read_rows(self.path / "leaves.jsonl", Leaf))

    def documents(self) -> list[Document]:
        """All documents of all leaves, each once."""
        return list(read_rows(self.path / "documents.jsonl", Document))

    def chunks(self) -> list[Chunk]:
        """All chunks, by leaf and place."""
        return list(read_rows(self.path / "chunks.jsonl", Chunk))

    def exam(self) -> list[ExamQuestion]:
        """All exam questions of both splits."""
        return list(read_rows(self.path / "exam.jsonl", ExamQuestion))


class SampleSet(Artifact):
    """Generated samples, rejections and the funnel of each leaf."""

    def samples(self) -> Iterator[Sample]:
        """All kept samples, by leaf, in generation order."""
        return read_rows(self.path / "samples.jsonl", Sample)

    def rejections(self) -> Iterator[Rejection]:
        """All dropped rows with step and reason."""
        return read_rows(self.path / "rejected.jsonl", Rejection)


class Dataset(Artifact):
    """The training rows of each phase: `<phase>.jsonl`, in training order, and `phases.json`."""

    def phases(self) -> list[str]:
        """Names of the phases in training order."""
        names: list[str] = read_json(self.path / "phases.json")
        return names

    def rows(self, phase: str) -> Iterator[TrainingRow]:
        """The rows of one phase in the order of its file."""
        return read_rows(self.path / f"{phase}.jsonl", TrainingRow)


class Checkpoint(Artifact):
    """A tuned model in Hugging Face layout under `model/`, and the journal of its phases."""

    @property
    def model_dir(self) -> Path:
        """Folder with config.json, model.safetensors, tokenizer and chat template."""
        return self.path / "model"


class ScoreReport(Artifact):
    """`scores.json` and `answers.jsonl` of one evaluation."""

    def scores(self) -> dict[str, Any]:
        """The report as DESIGN section 1 describes it."""
        value: dict[str, Any] = read_json(self.path / "scores.json")
        return value

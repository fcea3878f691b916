"""From a model folder to a file or folder that can be shipped, proved or marked as failed."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from labtune.artifact import file_hash, write_json, write_text
from labtune.errors import GateError, ModelError, UserError
from labtune.export.gguf_file import Converted, check_room, convert, translate_full_disk, write_gguf
from labtune.export.modelfile import write_modelfile
from labtune.export.number_formats import PLAIN, number_format
from labtune.export.parity import ParityReport, compare
from labtune.export.reference import Reference
from labtune.export.weights import StoredTensor, open_weights
from labtune.models.conversation import chat_texts, conversations
from labtune.models.device_memory import release_memory
from labtune.models.gguf_header import read_header
from labtune.models.hf import HfChatModel, load_tokenizer
from labtune.models.llamacpp import LlamaCppModel, default_context, require_engine
from labtune.types import Message

Form = Literal["gguf", "safetensors"]
Tell = Callable[[str, int, int], None]
"""Called with a step (`convert`, `compare`), what is done and what there is in all."""

FAILED = "parity-failed"
RECORD_SCHEMA = 1
SHARE_OF_MEMORY = 0.6
"""Of the free memory, for the reference in float32; otherwise it is compared in bfloat16."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to export.

    Attributes:
        source: the model's folder.
        name: of the file, without number format and ending; also the model's name in it.
        out: folder that receives it.
        form: `gguf` or `safetensors`.
        kind: number format; empty: q8_0 for GGUF, as the checkpoint has it for safetensors.
        chats: prompts of the parity test; empty: no test.
        max_tokens: longest reply of the parity test.
        force: replace what already stands there.
    """

    source: Path
    name: str
    out: Path
    form: Form
    kind: str
    chats: Sequence[Sequence[Message]]
    max_tokens: int = 48
    force: bool = False


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written. `parity` is None when it was not asked for, or nothing was changed."""

    path: Path
    form: Form
    kind: str
    bytes: int
    files: tuple[Path, ...]
    notes: tuple[str, ...]
    parity: ParityReport | None


def export(request: Request, tell: Tell = lambda _step, _done, _total: None) -> Exported:
    """Write the model and prove that it says the same.

    Raises:
        GateError: it does not; what was written is kept under a name that says so.
        ExportError: it cannot be written in this form, or there is no room.
        ModelError: the model or its engine failed.
        UserError: the target exists, or the number format does not fit the form.
    """
    return _export_gguf(request, tell) if request.form == "gguf" else _export_safetensors(request, tell)


def target_of(request: Request) -> Path:
    """Where the export will lie. Raises UserError when the number format does not fit the form."""
    kind = _kind(request)
    if request.form == "gguf":
        return request.out / f"{request.name}-{kind}.gguf"
    return request.out / (f"{request.name}-{kind}" if kind else request.name)


def _kind(request: Request) -> str:
    if request.form == "gguf":
        return number_format(request.kind or "q8_0").name
    if request.kind and number_format(request.kind).name not in PLAIN:
        raise UserError(
            f"safetensors are written in {', '.join(PLAIN)}, not in {request.kind}", hint="--format gguf"
        )
    return request.kind.lower()


def _refuse_existing(path: Path, force: bool) -> None:
    if path.exists() and not force:
        raise UserError(f"{path} is already there", hint="--force replaces it; --out DIR writes elsewhere")


def _export_gguf(request: Request, tell: Tell) -> Exported:
    kind, path = number_format(_kind(request)), target_of(request)
    _refuse_existing(path, request.force)
    if request.chats:
        require_engine()
    tokenizer = load_tokenizer(request.source)
    model = convert(request.source, tokenizer, name=request.name, kind=kind)
    fresh = path.with_name(f".{path.stem}.unproved.gguf")
    try:
        write_gguf(model, fresh, lambda done, total: tell("convert", done, total))
        parity = _compare_gguf(request, fresh, tell) if request.chats else None
        if parity is not None and parity.failures:
            path = path.with_name(f"{path.stem}.{FAILED}.gguf")
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)

    def render(chat: Sequence[Message]) -> str:
        return chat_texts(tokenizer, conversations(tokenizer, [chat]), prompt=True)[0]

    context = default_context(read_header(path))
    extra = [path.with_suffix(".Modelfile"), path.with_suffix(".json")]
    write_text(extra[0], write_modelfile(path.name, model.vocabulary, render, context))
    write_json(extra[1], _record(request, path, kind.name, model, parity))
    exported = Exported(path, "gguf", kind.name, path.stat().st_size, (path, *extra), model.notes, parity)
    return _passed(exported)


def _compare_gguf(request: Request, path: Path, tell: Tell) -> ParityReport:
    reference = load_reference(request.source, request.name)
    limit = min(default_context(read_header(path)), reference.context_length) - request.max_tokens
    lengths = {chat: len(reference.prompt_ids(chat)) for chat in map(tuple, request.chats)}
    chats = [chat for chat, length in lengths.items() if length < limit]
    longest = max((lengths[chat] for chat in chats), default=0)
    # Room for what is asked, not more: a model of 128k tokens would keep gigabytes for its context.
    room = min(limit + request.max_tokens, -(-(longest + request.max_tokens + 1) // 256) * 256)
    try:
        with LlamaCppModel.load(path, name=request.name, context=room) as engine:
            return compare(
                reference,
                engine,
                chats,
                kind=_kind(request),
                max_tokens=request.max_tokens,
                progress=lambda done, total: tell("compare", done, total),
            )
    finally:
        del reference
        release_memory()


def load_reference(folder: Path, name: str) -> Reference:
    """The model to compare with, on the CPU, in float32 where memory allows, as in the exam."""
    values = sum(tensor.n_values for tensor in open_weights(folder).values())
    dtype = "fp32" if 4 * values < SHARE_OF_MEMORY * free_memory() else "bf16"
    return Reference(HfChatModel.load(folder, name=name, dtype=dtype, device="cpu"))


def free_memory() -> float:
    """Bytes that a process can take without swapping; all there is where the system does not tell."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return float(line.split()[1]) * 1024
    except OSError:
        # No /proc (macOS).
        pass
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def _passed(exported: Exported) -> Exported:
    parity = exported.parity
    if parity is None or not parity.failures:
        return exported
    raise GateError(
        f"the exported model does not say what the tuned one says: {parity.failures[0]}; "
        f"it is kept as {exported.path}",
        hint="try a finer --type (q8_0, f16); the comparison lies beside the file",
    )


def _record(
    request: Request, path: Path, kind: str, model: Converted | None, parity: ParityReport | None
) -> dict[str, Any]:
    """What lies beside the export, for people and for whoever serves it."""
    record: dict[str, Any] = {
        "schema": RECORD_SCHEMA,
        "name": request.name,
        "source": str(request.source),
        "format": request.form,
        "type": kind,
        "file": path.name,
        "notes": list(model.notes) if model else [],
    }
    if path.is_file():
        record["sha256"] = file_hash(path)
    if model is not None:
        record["pre_tokenizer"] = model.vocabulary.pre
        record["stops"] = list(model.vocabulary.stops)
    if parity is not None:
        before, after = parity.stop_rates
        record["parity"] = {
            "passed": not parity.failures,
            "failures": list(parity.failures),
            "distance": parity.distance,
            "limits": asdict(parity.limits),
            "same_texts": parity.same_texts,
            "stop_rate": {"reference": before, "exported": after},
            "prompts": [_plain(asdict(prompt)) for prompt in parity.prompts],
        }
    return record


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row for JSON, which has no infinity."""
    endless = {key for key, value in row.items() if isinstance(value, float) and not math.isfinite(value)}
    return {key: None if key in endless else value for key, value in row.items()}


def _export_safetensors(request: Request, tell: Tell) -> Exported:
    kind, path = _kind(request), target_of(request)
    _refuse_existing(path, request.force)
    stored = open_weights(request.source)
    width = {"": None, "f32": 4, "f16": 2, "bf16": 2}[kind]
    files = sorted({tensor.file for tensor in stored.values()})
    size = sum(file.stat().st_size for file in files)
    wanted = size if width is None else sum(tensor.n_values for tensor in stored.values()) * width
    request.out.mkdir(parents=True, exist_ok=True)
    check_room(request.out, wanted)
    fresh = path.with_name(f".{path.name}.unproved")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    parity = None
    try:
        _write_folder(request.source, fresh, stored, kind, tell)
        if kind and request.chats:
            parity = _compare_folder(request, fresh, kind, tell)
            if parity.failures:
                path = path.with_name(f"{path.name}.{FAILED}")
        write_json(fresh / "export.json", _record(request, path, kind or "as trained", None, parity))
        _swap(fresh, path)
    except OSError as error:
        raise translate_full_disk(error, request.out, wanted) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    written = tuple(sorted(path.iterdir()))
    total = sum(file.stat().st_size for file in written)
    return _passed(Exported(path, "safetensors", kind or "as trained", total, written, (), parity))


def _swap(fresh: Path, path: Path) -> None:
    """Put a folder in place; what stood there is deleted only when the new one stands."""
    old = path.with_name(f".{path.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if path.exists():
        path.rename(old)
    fresh.rename(path)
    shutil.rmtree(old, ignore_errors=True)


def _write_folder(source: Path, folder: Path, stored: dict[str, StoredTensor], kind: str, tell: Tell) -> None:
    files = sorted({tensor.file for tensor in stored.values()})
    for done, file in enumerate(files, 1):
        if kind:
            _convert_file(file, folder / file.name, kind)
        else:
            shutil.copyfile(file, folder / file.name)
        tell("convert", done, len(files))
    for pattern in ("model.safetensors.index.json", "generation_config.json", "README.md", "LICENSE*"):
        for file in source.glob(pattern):
            shutil.copyfile(file, folder / file.name)
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    if kind:
        config["dtype"] = _torch_name(kind)
        config.pop("torch_dtype", None)
    write_text(folder / "config.json", json.dumps(config, indent=2, ensure_ascii=False) + "\n")
    load_tokenizer(source).save_pretrained(folder)


def _torch_name(kind: str) -> str:
    return {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}[kind]


def _convert_file(file: Path, path: Path, kind: str) -> None:
    import torch
    from safetensors import safe_open
    from safetensors.torch import save_file

    dtype = getattr(torch, _torch_name(kind))
    with safe_open(file, framework="pt") as tensors:
        values = {name: tensors.get_tensor(name) for name in tensors.keys()}  # noqa: SIM118
    wrong = next((name for name, value in values.items() if not torch.isfinite(value.to(dtype)).all()), None)
    if wrong is not None:
        raise ModelError(f"{wrong} holds values that {kind} cannot hold", hint="--type bf16 or f32")
    save_file({name: value.to(dtype) for name, value in values.items()}, path, metadata={"format": "pt"})
    path.chmod(0o644)


def _compare_folder(request: Request, folder: Path, kind: str, tell: Tell) -> ParityReport:
    reference = load_reference(request.source, request.name)
    dtype = "bf16" if kind == "bf16" else "fp32"
    other = Reference(HfChatModel.load(folder, name=request.name, dtype=dtype, device="cpu"))
    return compare(
        reference,
        other,
        request.chats,
        kind=kind,
        max_tokens=request.max_tokens,
        progress=lambda done, total: tell("compare", done, total),
    )

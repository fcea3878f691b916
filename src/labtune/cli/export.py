"""`labtune export`: take a tuned model out of the lab, with the proof that it says the same."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labtune.cli.document import print_document
from labtune.cli.options import HERE, JsonOption, LabOption, SetOption
from labtune.cli.text import printable

if TYPE_CHECKING:
    from labtune.export.export import Exported, Tell

STEPS = {"convert": "writing", "compare": "comparing"}


class Form(StrEnum):
    """What is written."""

    gguf = "gguf"
    safetensors = "safetensors"


def export(
    target: Annotated[
        str | None,
        typer.Argument(metavar="RUN|PATH", help="A run, 'base', or a model folder.", show_default="newest"),
    ] = None,
    form: Annotated[Form, typer.Option("--format", help="GGUF file or safetensors folder.")] = Form.gguf,
    kind: Annotated[
        str,
        typer.Option(
            "--type",
            metavar="f16|bf16|q8_0|q4_k_m|...",
            help="Number format.",
            show_default="q8_0; safetensors: as trained",
        ),
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where to write.", show_default="exports/ in the lab"),
    ] = None,
    prompts: Annotated[
        int, typer.Option("--prompts", min=1, metavar="N", help="Prompts of the parity test.")
    ] = 16,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", min=1, metavar="N", help="Longest reply of the parity test.")
    ] = 48,
    no_parity: Annotated[
        bool, typer.Option("--no-parity", help="Write without the test, on machines that cannot run it.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export.")] = False,
    lab: LabOption = HERE,
    sets: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the tuned model as GGUF (with an Ollama Modelfile) or safetensors; prove that it says the same.

    The exported model answers prompts in the engine that will serve it. When it does not say what the tuned
    model says, the exit code is 1 and the file's name says so.
    """
    from labtune.workflow.export import ExportOrder, export_model
    from labtune.workflow.lab import Lab, find_lab

    opened = Lab.open(lab, overrides=sets or ()) if find_lab(lab) is not None else None
    order = ExportOrder(target, form.value, kind, out, 0 if no_parity else prompts, max_tokens, force)
    with _progress() as tell:
        exported, live = export_model(opened, order, tell)
    if as_json:
        print_document("export", _document(exported, live))
        return
    for line in _lines(exported, live):
        typer.echo(printable(line))


@contextmanager
def _progress() -> Iterator[Tell]:
    """One line on the terminal that tells how far each step is; nothing when nobody watches."""
    watched = sys.stderr.isatty()

    def tell(step: str, done: int, total: int) -> None:
        if watched:
            sys.stderr.write(f"\r{STEPS.get(step, step)} {done / max(1, total):.0%}\x1b[K")
            sys.stderr.flush()

    try:
        yield tell
    finally:
        if watched:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _lines(exported: Exported, live: str) -> Iterator[str]:
    yield f"{live}  ->  {exported.path}  ({exported.kind}, {exported.bytes / 2**20:,.1f} MiB)"
    if exported.parity is not None:
        yield f"parity: {exported.parity.summary}"
    else:
        yield "parity: not tested" if exported.form == "gguf" else "parity: the same weights, byte for byte"
    yield from (f"note: {note}" for note in exported.notes)
    yield from (f"  {path.name}" for path in exported.files if path != exported.path)
    yield ""
    yield f"next:  labtune serve {exported.path}"
    if exported.form == "gguf":
        modelfile = next(path for path in exported.files if path.suffix == ".Modelfile")
        yield f"       ollama create {exported.path.stem} -f {modelfile}"


def _document(exported: Exported, live: str) -> dict[str, Any]:
    parity = exported.parity
    found: dict[str, Any] = {
        "model": live,
        "path": exported.path,
        "format": exported.form,
        "type": exported.kind,
        "bytes": exported.bytes,
        "files": list(exported.files),
        "notes": list(exported.notes),
        "parity": None,
    }
    if parity is not None:
        before, after = parity.stop_rates
        found["parity"] = {
            "passed": not parity.failures,
            "prompts": len(parity.prompts),
            "same_texts": parity.same_texts,
            "distance": parity.distance,
            "limits": parity.limits,
            "stop_rate": {"reference": before, "exported": after},
        }
    return found

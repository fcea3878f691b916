"""`labtune trace`: where a sample came from, or what came from a document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from labtune.cli.document import print_document
from labtune.cli.options import HERE, JsonOption, LabOption
from labtune.cli.text import number, one_line, printable
from labtune.errors import UserError

WIDTH = 110
SHOWN = 12


def trace(
    sample: Annotated[str, typer.Argument(help="Id of a sample, or its beginning.", show_default=False)] = "",
    document: Annotated[
        str,
        typer.Option(
            "--document", metavar="FILE", help="List what came from this document.", show_default=False
        ),
    ] = "",
    lab: LabOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Print the whole chain of a sample, or every sample and run that came from a document.

    The chain: leaf, seeds, document, page, quoted place, pipeline, prompts, teacher, sampling, verdicts of
    the judge, and the runs whose training sets hold it.
    """
    from labtune.workflow.lab import Lab
    from labtune.workflow.trace import trace_document, trace_sample

    if bool(sample) == bool(document):
        raise UserError(
            "name either a sample or a document", hint="labtune trace SAMPLE_ID   or   --document FILE"
        )
    opened = Lab.open(lab)
    found = trace_sample(opened, sample) if sample else trace_document(opened, document)
    if as_json:
        print_document("trace", found)
        return
    for line in _sample_lines(found) if sample else _document_lines(found):
        typer.echo(printable(line))


def _line(name: str, text: object) -> str:
    return f"{name:11} {one_line(str(text), WIDTH - 12)}"


def _sample_lines(found: Mapping[str, Any]) -> Iterator[str]:
    sample, leaf = found["sample"], found["leaf"]
    yield _line("sample", sample["id"])
    for turn in sample["messages"]:
        yield _line(f"  {turn['role']}", turn["content"])
    place = f"  ({leaf['source']['file']}:{leaf['source']['line']})" if leaf else ""
    yield _line("leaf", f"{sample['leaf']}{place}")
    if sample.get("contributor") or sample.get("license"):
        yield _line("from", " · ".join(filter(None, [sample["contributor"], sample["license"]])))
    if sample.get("seed"):
        yield _line("seed", _place(sample["seed"]))
    yield from _source_lines(found)
    yield from _teacher_lines(sample)
    for run in found["runs"]:
        yield _line(f"run {run['run']}", _fate(run))


def _source_lines(found: Mapping[str, Any]) -> Iterator[str]:
    document, chunk = found["document"], found["chunk"]
    if document:
        yield _line("document", f"{document['uri']}  sha256 {document['id'][:16]}")
    if chunk and chunk["heading"]:
        yield _line("  under", " > ".join(chunk["heading"]))
    for quote in found["quotes"]:
        page = f"page {quote['page']}, " if quote["page"] else ""
        yield _line("  quote", f"{page}{quote['start']}-{quote['end']}: {quote['text']}")


def _teacher_lines(sample: Mapping[str, Any]) -> Iterator[str]:
    lineage = sample.get("lineage") or {}
    version = lineage.get("pipeline_version", "")
    yield _line(
        "pipeline", f"{sample['pipeline']}{f' {version[:12]}' if version else ''}, form {sample['form']}"
    )
    yield _line("teacher", sample["teacher"])
    if lineage.get("judge") and lineage["judge"] != sample["teacher"]:
        yield _line("judge", lineage["judge"])
    for step, drawn in lineage.get("sampling", {}).items():
        yield _line("  sampling", f"{step}: temperature {drawn['temperature']:g}, draw {drawn['draw']}")
    if lineage.get("view"):
        yield _line("  view", lineage["view"])
    for source in lineage.get("examples", ()):
        yield _line("  example", _place(source))
    for name, prompt in sorted(lineage.get("prompts", {}).items()):
        yield _line("  prompt", f"{name}: {prompt}")
    for verdict in lineage.get("verdicts", ()):
        reason = f": {verdict['reason']}" if verdict["reason"] else ""
        yield _line("  verdict", f"{verdict['step']} = {verdict['verdict']}{reason}")
    for key in lineage.get("calls", ()):
        yield _line("  reply", f"labtune journal show {key[:16]}")


def _place(source: Mapping[str, Any]) -> str:
    return f"{source['file']}:{source['line']}"


def _fate(run: Mapping[str, Any]) -> str:
    phases = ", ".join(f"{name} ({count})" for name, count in run["phases"].items())
    if phases:
        return f"trained in {phases}" if run["tuned"] else f"in the training set: {phases}"
    return f"removed by the mix: {run['removed']}" if run["removed"] else "generated, in no training set"


def _document_lines(found: Mapping[str, Any]) -> Iterator[str]:
    for document in found["documents"]:
        yield _line("document", f"{document['uri']}  sha256 {document['id'][:16]}  runs {_names(document)}")
    for run in found["runs"]:
        tuned = ", a tuned model" if run["tuned"] else ""
        counts = f"{number(run['samples'])} samples, {number(run['training_rows'])} training rows{tuned}"
        yield _line(f"run {run['run']}", counts)
    samples = found["samples"]
    yield f"{number(len(samples))} samples:"
    for sample in samples[:SHOWN]:
        yield f"  {sample['id']}  {one_line(sample['question'], WIDTH - 28)}"
    if len(samples) > SHOWN:
        yield f"  and {number(len(samples) - SHOWN)} more (--json lists all)"


def _names(document: Mapping[str, Any]) -> str:
    return ", ".join(document["runs"])

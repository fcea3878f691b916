"""`labtune serve`: an OpenAI-compatible endpoint for a tuned model."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from labtune.cli.document import print_document
from labtune.cli.options import HERE, JsonOption, LabOption, SetOption, lab_if_any
from labtune.cli.presenter import present
from labtune.cli.text import printable

if TYPE_CHECKING:
    from labtune.workflow.serve import Served

WATCH_S = 0.5


def serve(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN|PATH]",
            help="A run's number, `base`, a model folder or a GGUF file.",
            show_default="the newest run",
        ),
    ] = None,
    engine: Annotated[
        str, typer.Option("--engine", metavar="NAME", help="auto, transformers, llama.cpp or vllm.")
    ] = "auto",
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0 = any free one.")
    ] = 8000,
    key_env: Annotated[
        str | None,
        typer.Option(
            "--api-key-env",
            metavar="NAME",
            help="Variable that holds the API key that clients must send.",
            show_default="none; needed unless the host is this machine alone",
        ),
    ] = None,
    context: Annotated[
        int | None,
        typer.Option(
            "--context", min=64, metavar="N", help="Tokens of prompt and answer.", show_default="the model's"
        ),
    ] = None,
    lab: LabOption = HERE,
    sets: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Serve a model at http://HOST:PORT/v1 (OpenAI's API) until Ctrl-C.

    With --json the document is printed as soon as the model can be asked.
    """
    from labtune.workflow.serve import ServeOptions
    from labtune.workflow.serve import serve as serving
    from labtune.workflow.target import find_target

    opened = lab_if_any(lab, sets or ())
    options = ServeOptions(engine, host, port, key_env, context)
    meant = find_target(opened, target)
    busy = opened.busy_process() if opened is not None else None
    if busy is not None:
        typer.echo(f"note: process {busy} works in this lab; the server shares the memory with it", err=True)
    with serving(opened, meant, options) as served:
        try:
            _announce(served, as_json=as_json)
            _watch(served)
        except KeyboardInterrupt:
            typer.echo("stopped.", err=True)


def _announce(served: Served, *, as_json: bool) -> None:
    record = served.record
    if as_json:
        print_document(
            "serve",
            {
                "url": record.url,
                "model": record.model,
                "live": record.live,
                "run": record.run,
                "engine": record.engine,
                "pid": record.pid,
                "log": record.log,
            },
        )
        return
    typer.echo(f"{printable(record.live)}, served by {record.engine}")
    typer.echo(f"  {record.url}   model: {record.model}")
    typer.echo(f"  talk to it: labtune chat --endpoint {record.url}   ·   Ctrl-C ends it")


def _watch(served: Served) -> None:
    """Wait until the server ends by itself, which is an error; its document is out already."""
    while served.process.exit_code() is None:
        time.sleep(WATCH_S)
    death = served.process.death()
    present(death.message, death.hint)
    raise typer.Exit(death.exit_code)

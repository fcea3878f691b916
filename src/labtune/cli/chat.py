"""`labtune chat`: talk to a model."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from labtune.cli.document import print_document
from labtune.cli.options import HERE, JsonOption, LabOption, SetOption
from labtune.cli.text import printable

if TYPE_CHECKING:
    from labtune.cli.repl import Repl
    from labtune.models.hf import HfChatModel
    from labtune.protocols import Sampling
    from labtune.workflow.lab import Lab


def chat(
    question: Annotated[
        str | None, typer.Option("-q", "--question", metavar="TEXT", help="Ask one question and end.")
    ] = None,
    run: Annotated[
        str | None,
        typer.Option("--run", metavar="ID", help="The run whose model answers.", show_default="newest"),
    ] = None,
    base: Annotated[bool, typer.Option("--base", help="Talk to the untuned student.")] = False,
    system: Annotated[str | None, typer.Option("--system", metavar="TEXT", help="System prompt.")] = None,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", min=1, metavar="N", help="Longest answer, in tokens.")
    ] = 128,
    temperature: Annotated[
        float, typer.Option("--temperature", min=0.0, metavar="X", help="0 = always the likeliest answer.")
    ] = 0.0,
    lab: LabOption = HERE,
    sets: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Talk to the tuned student: at a prompt (/help lists its commands), over a pipe, or with -q once."""
    from labtune.protocols import Sampling
    from labtune.workflow.lab import Lab

    opened = Lab.open(lab, overrides=sets or ())
    sampling = Sampling(max_tokens=max_tokens, temperature=temperature)
    repl = _open(opened, "base" if base else run or "tuned", system, sampling)
    if question is not None:
        answer = repl.say(question, _nothing if as_json else _write)
        fields: dict[str, object] = {"question": question, "answer": answer}
    else:
        _talk(opened, repl, quiet=as_json)
        fields = {"turns": [{"question": asked, "answer": told} for asked, told in repl.asked]}
    if as_json:
        print_document("chat", {"model": repl.live, "run": _run_of(opened, run, base), **fields})


def _open(lab: Lab, name: str, system: str | None, sampling: Sampling) -> Repl:
    from labtune.cli.repl import Repl
    from labtune.serving.session import ChatSession

    model, live = _load(lab, name)
    turns = lab.config.lab.chat.turns
    session = ChatSession.with_model(model, reserve=sampling.max_tokens, system=system, most_turns=turns)
    return Repl(session, model, live, sampling, load=lambda other: _load(lab, other))


def _load(lab: Lab, name: str) -> tuple[HfChatModel, str]:
    """The model called `tuned`, `base`, or by the number of a run."""
    from labtune.workflow.ask import load_base, load_tuned

    if name == "base":
        return load_base(lab)
    return load_tuned(lab, None if name == "tuned" else name)


def _run_of(lab: Lab, run: str | None, base: bool) -> str | None:
    from labtune.workflow.ask import find_tuned

    return None if base else find_tuned(lab, run).name


def _talk(lab: Lab, repl: Repl, *, quiet: bool) -> None:
    from labtune.cli.repl import piped_lines, typed_lines

    if not sys.stdin.isatty():
        repl.run(piped_lines(), _nothing if quiet else _write)
        return
    write = _write_to_stderr if quiet else _write
    alone = " · each question stands alone (chat.turns)" if repl.session.most_turns == 0 else ""
    write(f"{printable(repl.live)}{alone} · /help lists commands\n")
    repl.run(typed_lines(lab.cache_dir / "chat_history"), write)


def _write(text: str) -> None:
    typer.echo(text, nl=False)
    sys.stdout.flush()


def _write_to_stderr(text: str) -> None:
    typer.echo(text, nl=False, err=True)


def _nothing(_text: str) -> None:
    return

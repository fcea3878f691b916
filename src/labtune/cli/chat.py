"""`labtune chat`: talk to a model."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from labtune.cli.document import print_document
from labtune.cli.options import HERE, JsonOption, KeyOption, LabOption, ModelOption, SetOption, lab_if_any
from labtune.cli.text import printable
from labtune.errors import UserError

if TYPE_CHECKING:
    from labtune.cli.repl import Repl
    from labtune.protocols import Sampling
    from labtune.workflow.lab import Lab
    from labtune.workflow.voices import Voices


def chat(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN|PATH]",
            help="A run's number, `base`, a model folder, a GGUF file, or `served`.",
            show_default="the newest run",
        ),
    ] = None,
    question: Annotated[
        str | None, typer.Option("-q", "--question", metavar="TEXT", help="Ask one question and end.")
    ] = None,
    base: Annotated[bool, typer.Option("--base", help="Talk to the untuned student.")] = False,
    compare: Annotated[
        bool, typer.Option("--compare", help="With -q: let the untuned student answer as well.")
    ] = False,
    endpoint: Annotated[
        str | None,
        typer.Option("--endpoint", metavar="URL", help="Talk to a served model.", show_default=False),
    ] = None,
    model: ModelOption = None,
    key_env: KeyOption = None,
    session: Annotated[
        str | None,
        typer.Option(
            "--session",
            metavar="NAME",
            help="Go on with the conversation of this name, or begin it; every turn is kept.",
            show_default=False,
        ),
    ] = None,
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
    from labtune.workflow.voices import Address, Voices

    name = _name(target, base=base, endpoint=endpoint)
    if compare and question is None:
        raise UserError("--compare goes with -q", hint="in a conversation: /compare")
    opened = lab_if_any(lab, sets or ())
    with Voices(opened, {name: Address(model, key_env)}) as voices:
        repl = _begin(opened, voices, name, Sampling(max_tokens=max_tokens, temperature=temperature))
        _prepare(repl, session, system, quiet=as_json or question is not None)
        if compare and question is not None:
            fields = _compare(repl, question, quiet=as_json)
        elif question is not None:
            answer = repl.say(question, _nothing if as_json else _write)
            fields = {"question": question, "answer": answer}
        else:
            _talk(opened, repl, quiet=as_json)
            fields = {"turns": [{"question": asked, "answer": told} for asked, told in repl.asked]}
        if as_json:
            voice = repl.voice
            kept = {"session": repl.kept} if repl.kept else {}
            print_document("chat", {"model": voice.live, "run": voice.run, **kept, **fields})


def _name(target: str | None, *, base: bool, endpoint: str | None) -> str:
    """The one model that the arguments mean."""
    given = [name for name in (target, "base" if base else None, endpoint) if name is not None]
    if len(given) > 1:
        raise UserError(
            f"{given[0]} and {given[1]} are two models", hint="name one; /compare and /model reach others"
        )
    name = given[0] if given else "tuned"
    return name if endpoint is None or "://" in name else f"http://{name}"


def _begin(lab: Lab | None, voices: Voices, name: str, sampling: Sampling) -> Repl:
    from labtune.cli.repl import Repl
    from labtune.serving.conversations import ConversationStore
    from labtune.serving.session import ChatSession
    from labtune.workflow.voices import conversations_folder

    voice = voices.open(name)
    turns = lab.config.lab.chat.turns if lab is not None else None
    session = ChatSession.with_model(voice.speaker, reserve=sampling.max_tokens, most_turns=turns)
    return Repl(session, voice, voices, sampling, ConversationStore(conversations_folder(lab)))


def _prepare(repl: Repl, name: str | None, system: str | None, *, quiet: bool) -> None:
    """Take up the conversation of this name, and the system prompt that was asked for."""
    if name is not None and repl.store.path(name).exists():
        repl.resume(name, _write_to_stderr if quiet else _write)
    if system is not None:
        repl.session.system = system
    if name is not None:
        repl.keep_as(name)


def _compare(repl: Repl, question: str, *, quiet: bool) -> dict[str, object]:
    from labtune.cli.compare import compare
    from labtune.workflow.voices import pair_to_compare

    voices = [repl.voices.open(name) for name in pair_to_compare(repl.voice.name)]
    readings = compare(
        voices, repl.session, question, repl.sampling, _nothing if quiet else _write, drawn=not quiet
    )
    answers = [
        {"model": reading.voice.live, "run": reading.voice.run, "answer": reading.text}
        for reading in readings
    ]
    return {"question": question, "answers": answers}


def _talk(lab: Lab | None, repl: Repl, *, quiet: bool) -> None:
    from labtune.cli.repl import piped_lines, typed_lines
    from labtune.workflow.voices import conversations_folder

    if not sys.stdin.isatty():
        repl.run(piped_lines(), _nothing if quiet else _write)
        return
    write: Callable[[str], None] = _write_to_stderr if quiet else _write
    alone = " · each question stands alone (chat.turns)" if repl.session.most_turns == 0 else ""
    write(f"{printable(repl.voice.live)}{alone} · /help lists commands\n")
    folder = lab.cache_dir if lab is not None else conversations_folder(None).parent
    repl.run(typed_lines(folder / "chat_history"), write)


def _write(text: str) -> None:
    typer.echo(text, nl=False)
    sys.stdout.flush()


def _write_to_stderr(text: str) -> None:
    typer.echo(text, nl=False, err=True)


def _nothing(_text: str) -> None:
    return

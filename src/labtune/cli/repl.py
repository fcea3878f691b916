"""The chat loop: reads lines, obeys `/commands`, streams answers. Where lines come from is the caller's."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from labtune.cli.compare import compare
from labtune.cli.presenter import present
from labtune.cli.text import has_colours, one_line, printable
from labtune.errors import LabtuneError, MissingDependencyError, UserError
from labtune.types import Message

if TYPE_CHECKING:
    from labtune.protocols import Sampling
    from labtune.serving.conversations import ConversationStore
    from labtune.serving.session import ChatSession
    from labtune.workflow.voices import Voice, Voices

HELP = """\
/help             this list
/new              a new conversation; the system prompt stays
/retry            ask the last question again, with chance in the answer
/model [NAME]     say which model is live, or switch: tuned, base, a run's
                  number, a path, a URL, served (by labtune serve)
/compare [TEXT]   base and live model side by side: TEXT, or the last
                  question again; the conversation stays as it is
/system [TEXT]    show or set the system prompt; /system - removes it
/save NAME        keep the conversation under a name, from now on every turn
/load NAME        go on with a kept conversation
/sessions         list the kept conversations
/export FILE      write the conversation, as JSON if FILE ends in .json
/quit             leave; Ctrl-D does too
Ctrl-C stops an answer. A line that ends in \\ goes on in the next; so does
Esc Enter."""

COMMANDS = (
    "/compare",
    "/export",
    "/help",
    "/load",
    "/model",
    "/new",
    "/quit",
    "/retry",
    "/save",
    "/sessions",
    "/system",
)

RETRY_TEMPERATURE = 0.7
TITLE_COLUMNS = 60

Write = Callable[[str], None]


@dataclass(slots=True)
class Repl:
    """One chat at a terminal or over a pipe.

    Args:
        session: the conversation.
        voice: who answers.
        voices: opens others.
        sampling: how answers are decoded.
        store: conversations that are kept.
        kept: name under which this one is kept, every turn; None = it is not.
    """

    session: ChatSession
    voice: Voice
    voices: Voices
    sampling: Sampling
    store: ConversationStore
    kept: str | None = None
    asked: list[tuple[str, str]] = field(default_factory=list)
    retries: int = 0

    def run(self, lines: Iterator[str], write: Write) -> None:
        """Serve lines until they end or `/quit` comes. A user's mistake is shown and the chat goes on."""
        for line in lines:
            text = line.strip()
            if text == "/quit":
                return
            if not text:
                continue
            try:
                self._obey(text, write) if text.startswith("/") else self.say(text, write)
            except LabtuneError as error:
                present(error.message, error.hint)

    def say(self, question: str, write: Write) -> str:
        """Ask the model, stream its answer to `write`, and return it. Ctrl-C keeps what came so far."""
        prompt = self.session.ask(question)
        if prompt.dropped:
            write(f"({prompt.dropped} earlier messages no longer fit the context and were left out)\n")
        self._keep()
        pieces: list[str] = []
        stream = self.voice.speaker.stream(prompt.messages, self.sampling)
        try:
            for piece in stream:
                pieces.append(piece)
                write(printable(piece))
        except KeyboardInterrupt:
            write(" (stopped)")
        except LabtuneError:
            self.session.take_back()
            self._keep()
            raise
        finally:
            stream.close()
        write("\n")
        answer = "".join(pieces)
        self.session.answer(answer)
        self.asked.append((question, answer))
        self._keep()
        return answer

    def resume(self, name: str, write: Write) -> None:
        """Go on with the conversation kept under `name`; from now on every turn is kept there."""
        found = self.store.load(name)
        self.session.system = found.system
        self.session.turns[:] = found.turns
        self.kept = name
        questions = sum(turn.role == "user" for turn in found.turns)
        write(f"{name}: {questions} questions so far\n")
        if found.unanswered is not None:
            write(f"the last one was not answered: {one_line(found.unanswered, TITLE_COLUMNS)}\n")
        if found.live != self.voice.live:
            write(f"it was held with {printable(found.live)}; now {printable(self.voice.live)} answers\n")

    def keep_as(self, name: str) -> Path:
        """Keep the conversation under `name`, every turn from now on.

        Raises:
            UserError: another conversation has this name.
        """
        if name != self.kept and self.store.path(name).exists():
            raise UserError(
                f"there is a conversation {name!r} already", hint=f"/load {name}, or choose another name"
            )
        self.kept = name
        path = self._keep()
        assert path is not None
        return path

    def _keep(self) -> Path | None:
        if self.kept is None:
            return None
        session = self.session
        return self.store.save(self.kept, system=session.system, turns=session.turns, live=self.voice.live)

    def _obey(self, text: str, write: Write) -> None:
        command, _, rest = text.partition(" ")
        rest = rest.strip()
        match command:
            case "/help":
                write(HELP + "\n")
            case "/new":
                self.session.restart()
                self.kept = None
                write("a new conversation\n")
            case "/retry":
                self._retry(write)
            case "/model":
                self._switch(rest, write)
            case "/compare":
                self._compare(rest, write)
            case "/system":
                self._set_system(rest, write)
            case _:
                self._obey_about_files(command, rest, write)

    def _obey_about_files(self, command: str, rest: str, write: Write) -> None:
        match command:
            case "/save":
                if not rest and self.kept is None:
                    raise UserError("/save wants a name", hint="/save monday")
                write(
                    f"kept as {rest or self.kept}: {printable(str(self.keep_as(rest or str(self.kept))))}\n"
                )
            case "/load":
                if not rest:
                    raise UserError("/load wants a name", hint=self._kept_names())
                self.resume(rest, write)
            case "/sessions":
                write(self._kept_names() + "\n")
            case "/export":
                self._export(rest, write)
            case _:
                raise UserError(f"there is no command {command!r}", hint="/help lists the commands")

    def _kept_names(self) -> str:
        return f"kept conversations: {', '.join(self.store.names()) or 'none yet'}"

    def _retry(self, write: Write) -> None:
        question = self.session.take_back()
        if question is None:
            raise UserError("nothing was asked yet")
        write(f"{printable(question)}\n")
        # The likeliest answer would be the same again: draw, and differently each time.
        self.retries += 1
        usual = self.sampling
        warm = usual.temperature or RETRY_TEMPERATURE
        self.sampling = replace(usual, temperature=warm, seed=usual.seed + self.retries)
        try:
            self.say(question, write)
        finally:
            self.sampling = usual

    def _switch(self, name: str, write: Write) -> None:
        if name:
            self.voice = self.voices.open(name)
            self.voices.keep_only(name)
            self.session.adopt(self.voice.speaker)
        write(f"{printable(self.voice.live)}\n")

    def _compare(self, text: str, write: Write) -> None:
        from labtune.workflow.voices import pair_to_compare

        question, turns = text, list(self.session.turns)
        if not question:
            last = self.session.last_question()
            if last is None:
                raise UserError("nothing was asked yet", hint="/compare TEXT asks both models")
            question, turns = last, turns[: self.session.place_of_last()]
        pair = [self.voices.open(name) for name in pair_to_compare(self.voice.name)]
        compare(pair, replace(self.session, turns=turns), question, self.sampling, write)

    def _set_system(self, text: str, write: Write) -> None:
        if text:
            self.session.system = None if text == "-" else text
            self._keep()
        write(f"system prompt: {printable(self.session.system or 'none')}\n")

    def _export(self, name: str, write: Write) -> None:
        if not name:
            raise UserError("/export wants a file", hint="/export chat.md")
        path = Path(name).expanduser()
        try:
            with path.open("x", encoding="utf-8") as stream:
                stream.write(_transcript(self.session.messages(), as_json=path.suffix == ".json"))
        except FileExistsError as error:
            raise UserError(f"{path} exists already", hint="choose another name") from error
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror}") from error
        write(f"wrote {printable(str(path))}\n")


def _transcript(messages: tuple[Message, ...], *, as_json: bool) -> str:
    if as_json:
        rows = [{"role": message.role, "content": message.content} for message in messages]
        return json.dumps({"messages": rows}, ensure_ascii=False, indent=1) + "\n"
    return "".join(f"**{message.role}**\n\n{message.content}\n\n" for message in messages)


def piped_lines() -> Iterator[str]:
    """Lines of stdin where it is no terminal; a trailing backslash joins a line with the next."""
    pending = ""
    for line in sys.stdin:
        text = pending + line.rstrip("\n")
        if text.endswith("\\"):
            pending = text[:-1] + "\n"
            continue
        pending = ""
        yield text
    if pending:
        yield pending.rstrip("\n")


def typed_lines(history: Path) -> Iterator[str]:
    """Lines typed at a terminal, with history, completion of commands and multi-line input."""
    try:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.completion import WordCompleter
        from prompt_toolkit.formatted_text import ANSI
        from prompt_toolkit.history import FileHistory
        from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
    except ImportError as error:
        raise MissingDependencyError.for_extra("prompt_toolkit", "serve") from error

    keys = KeyBindings()

    @keys.add("enter")
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.text.endswith("\\") and buffer.cursor_position == len(buffer.text):
            buffer.delete_before_cursor()
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    history.parent.mkdir(parents=True, exist_ok=True)
    prompt: PromptSession[str] = PromptSession(
        history=FileHistory(str(history)),
        key_bindings=keys,
        multiline=True,
        completer=WordCompleter(list(COMMANDS), sentence=True),
        complete_while_typing=False,
        prompt_continuation="  ",
    )
    mark = ANSI("\x1b[1;36m> \x1b[0m") if has_colours(sys.stdout) else "> "
    interrupted = float("-inf")
    while True:
        try:
            yield prompt.prompt(mark)
        except KeyboardInterrupt:
            if time.monotonic() - interrupted < 1:
                return
            interrupted = time.monotonic()
            print("(Ctrl-D or /quit leaves)")  # noqa: T201
        except EOFError:
            return

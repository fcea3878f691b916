"""The chat loop: reads lines, obeys `/commands`, streams answers. Where lines come from is the caller's."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from labtune.cli.presenter import present
from labtune.cli.text import has_colours, printable
from labtune.errors import LabtuneError, UserError
from labtune.types import Message

if TYPE_CHECKING:
    from labtune.models.hf import HfChatModel
    from labtune.protocols import Sampling
    from labtune.serving.session import ChatSession

HELP = """\
/help           this list
/new            forget the conversation; the system prompt stays
/retry          ask the last question again, with chance in the answer
/model [NAME]   say which model is live, or switch: tuned, base, a run's number
/system [TEXT]  show or set the system prompt; /system - removes it
/save FILE      write the conversation, as JSON if FILE ends in .json
/quit           leave; Ctrl-D does too
Ctrl-C stops an answer. A line that ends in \\ goes on in the next; so does
Esc Enter."""

COMMANDS = ("/help", "/model", "/new", "/quit", "/retry", "/save", "/system")

RETRY_TEMPERATURE = 0.7

Load = Callable[[str], "tuple[HfChatModel, str]"]


@dataclass(slots=True)
class Repl:
    """One chat at a terminal or over a pipe.

    Args:
        session: the conversation.
        model: who answers.
        live: which model of which run that is, in one line.
        sampling: how answers are decoded.
        load: loads another model by name, for `/model NAME`.
    """

    session: ChatSession
    model: HfChatModel
    live: str
    sampling: Sampling
    load: Load
    asked: list[tuple[str, str]] = field(default_factory=list)
    retries: int = 0

    def run(self, lines: Iterator[str], write: Callable[[str], None]) -> None:
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

    def say(self, question: str, write: Callable[[str], None]) -> str:
        """Ask the model, stream its answer to `write`, and return it. Ctrl-C keeps what came so far."""
        prompt = self.session.ask(question)
        if prompt.dropped:
            write(f"({prompt.dropped} earlier messages no longer fit the context and were left out)\n")
        pieces: list[str] = []
        try:
            for piece in self.model.stream(prompt.messages, self.sampling):
                pieces.append(piece)
                write(printable(piece))
        except KeyboardInterrupt:
            write(" (stopped)")
        except LabtuneError:
            self.session.take_back()
            raise
        write("\n")
        answer = "".join(pieces)
        self.session.answer(answer)
        self.asked.append((question, answer))
        return answer

    def _obey(self, text: str, write: Callable[[str], None]) -> None:
        command, _, rest = text.partition(" ")
        rest = rest.strip()
        match command:
            case "/help":
                write(HELP + "\n")
            case "/new":
                self.session.restart()
                write("a new conversation\n")
            case "/retry":
                self._retry(write)
            case "/model":
                self._switch(rest, write)
            case "/system":
                self._set_system(rest, write)
            case "/save":
                self._save(rest, write)
            case _:
                raise UserError(f"there is no command {command!r}", hint="/help lists the commands")

    def _retry(self, write: Callable[[str], None]) -> None:
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

    def _switch(self, name: str, write: Callable[[str], None]) -> None:
        if name:
            self.model, self.live = self.load(name)
            self.session.adopt(self.model)
        write(f"{printable(self.live)}\n")

    def _set_system(self, text: str, write: Callable[[str], None]) -> None:
        if text:
            self.session.system = None if text == "-" else text
        write(f"system prompt: {printable(self.session.system or 'none')}\n")

    def _save(self, name: str, write: Callable[[str], None]) -> None:
        if not name:
            raise UserError("/save wants a file", hint="/save chat.md")
        path = Path(name).expanduser()
        try:
            with path.open("x", encoding="utf-8") as stream:
                stream.write(_transcript(self.session.messages(), as_json=path.suffix == ".json"))
        except FileExistsError as error:
            raise UserError(f"{path} exists already", hint="choose another name") from error
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror}") from error
        write(f"saved {printable(str(path))}\n")


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
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import WordCompleter
    from prompt_toolkit.formatted_text import ANSI
    from prompt_toolkit.history import FileHistory
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

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

"""An Ollama Modelfile beside the GGUF file, with the chat template in Ollama's own template language.

Ollama does not run the Jinja template that the file carries. The template is rendered with marked turns, the
text between the marks becomes a Go template, and that is proved on other chats before it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from labtune.errors import ModelError
from labtune.export.vocabulary import Vocabulary
from labtune.types import Message

Render = Callable[[Sequence[Message]], str]
"""A chat as text, up to the point where the assistant begins to speak."""

MOST_CONTEXT = 8192
"""Tokens; Ollama keeps memory for all of them from the start."""

_S, _U, _A, _V = "⟦system⟧", "⟦question⟧", "⟦answer⟧", "⟦again⟧"
_PROOFS: tuple[tuple[Message, ...], ...] = (
    (Message("user", "Which bird stores seeds?"),),
    (Message("system", "Be brief."), Message("user", "企鹅吃什么？")),
    (
        Message("system", "Answer in one sentence."),
        Message("user", "Who wrote it?"),
        Message("assistant", "Anna."),
        Message("user", "When?"),
        Message("assistant", "In the morning."),
        Message("user", "Why?"),
    ),
    (Message("user", "One?"), Message("assistant", "Two."), Message("user", "Three?")),
)


@dataclass(frozen=True, slots=True)
class Frames:
    """The text round the turns of a chat.

    Attributes:
        start: before the first question when there is no system prompt.
        system: before the system prompt, and between it and the first question.
        answer: between a question and its answer in the history.
        question: between an answer and the next question.
        opening: behind the last question, where the assistant begins to speak.
    """

    start: str
    system: tuple[str, str]
    answer: str
    question: str
    opening: str

    def render(self, chat: Sequence[Message]) -> str:
        """A chat as Ollama will write it; the first turn may be a system prompt, the others take turns."""
        turns = list(chat)
        if turns[0].role == "system":
            text = self.system[0] + turns.pop(0).content + self.system[1]
        else:
            text = self.start
        for place, turn in enumerate(turns, 1):
            last = place == len(turns)
            if turn.role == "user":
                text += turn.content + (self.opening if last else self.answer)
            else:
                text += turn.content + ("" if last else self.question)
        return text

    def go_template(self) -> str:
        """The same as a Go template."""
        return (
            f"{{{{ if .System }}}}{self.system[0]}{{{{ .System }}}}{self.system[1]}{{{{ else }}}}{self.start}"
            "{{ end }}{{ range $i, $_ := .Messages }}{{ $last := eq (len (slice $.Messages $i)) 1 }}"
            '{{ if eq .Role "user" }}{{ .Content }}'
            f"{{{{ if $last }}}}{self.opening}{{{{ else }}}}{self.answer}{{{{ end }}}}"
            '{{ else if eq .Role "assistant" }}{{ .Content }}'
            f"{{{{ if not $last }}}}{self.question}{{{{ end }}}}{{{{ end }}}}{{{{ end }}}}"
        )


def find_frames(render: Render) -> Frames | None:
    """The frames of a chat template, or None when a chat is more than its turns between fixed texts."""
    try:
        alone = render((Message("user", _U),)).split(_U)
        told = _split(render((Message("system", _S), Message("user", _U))), (_S, _U))
        turns = (Message("user", _U), Message("assistant", _A), Message("user", _V))
        history = _split(render(turns), (_U, _A, _V))
        if len(alone) != 2 or told is None or history is None:
            return None
        frames = Frames(alone[0], (told[0], told[1]), history[1], history[2], alone[1])
        proved = all(frames.render(chat) == render(chat) for chat in _PROOFS)
    except ModelError:
        # The template refuses one of the chats, such as one with a system prompt.
        return None
    return frames if proved else None


def write_modelfile(gguf_name: str, vocabulary: Vocabulary, render: Render, context: int) -> str:
    """The text of the Modelfile for a GGUF file that lies beside it."""
    bos = vocabulary.tokens[vocabulary.special["bos"]] if vocabulary.add_bos else ""
    # Ollama puts the beginning-of-text token in front by itself when the file asks for it.
    frames = find_frames(lambda chat: render(chat).removeprefix(bos))
    template = frames.go_template() if frames is not None else ""
    usable = frames is not None and '"""' not in template and "{{" not in "".join(_texts(frames))
    lines = [f"FROM ./{gguf_name}"]
    if usable:
        lines.append(f'TEMPLATE """{template}"""')
    else:
        lines += [
            "# This model's chat template has no exact form in Ollama's template language; Ollama guesses.",
            "# `labtune serve` on the file uses the template that the model was tuned with.",
        ]
    lines += [f'PARAMETER stop "{stop}"' for stop in vocabulary.stops if '"' not in stop]
    lines += [f"PARAMETER num_ctx {min(context, MOST_CONTEXT)}", "PARAMETER temperature 0"]
    return "\n".join(lines) + "\n"


def _texts(frames: Frames) -> tuple[str, ...]:
    return (frames.start, *frames.system, frames.answer, frames.question, frames.opening)


def _split(text: str, marks: Sequence[str]) -> list[str] | None:
    """The texts round the marks, each of which must stand there once and in this order."""
    parts = []
    for mark in marks:
        before, found, text = text.partition(mark)
        if not found or mark in text:
            return None
        parts.append(before)
    return [*parts, text]

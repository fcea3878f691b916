"""Two answers side by side, drawn."""

from __future__ import annotations

import io
from collections.abc import Generator, Sequence

import pytest
from rich.console import Console

from labtune.cli.compare import Reading, columns, compare
from labtune.errors import UserError
from labtune.models.stream import TextStream
from labtune.protocols import Sampling
from labtune.serving.session import ChatSession
from labtune.types import Message
from labtune.workflow.voices import Voice, pair_to_compare


class Parrot:
    """A speaker that says a fixed text word by word, and remembers what it was sent. A word is a token."""

    def __init__(self, text: str, context: int) -> None:
        self.words = text.split(" ")
        self.context_length = context
        self.sent: list[Message] = []

    def count(self, chat: Sequence[Message]) -> int:
        return sum(len(message.content.split()) for message in chat)

    def stream(self, chat: Sequence[Message], sampling: Sampling) -> TextStream:
        self.sent = list(chat)
        stream = TextStream()

        def pieces() -> Generator[str, None, None]:
            for number, word in enumerate(self.words[: sampling.max_tokens]):
                yield word if number == 0 else f" {word}"

        stream.pieces = pieces()
        return stream


def voice(name: str, text: str, context: int = 100) -> Voice:
    return Voice(name, Parrot(text, context), f"the {name} model")


def test_columns_stand_beside_each_other_below_their_models() -> None:
    readings = [
        Reading(voice("base", ""), TextStream(), 0, "I do not know that at all, sorry."),
        Reading(voice("tuned", ""), TextStream(), 0, "四小时。\x1b[31m"),
    ]
    console = Console(width=60, record=True, file=io.StringIO())
    console.print(columns(readings))
    lines = [line.rstrip() for line in console.export_text().splitlines() if line.strip()]
    assert lines[0].startswith("the base model")
    assert lines[0].index("the tuned model") > 25
    text = "\n".join(lines)
    assert "四小时。\ufffd[31m" in text
    assert "\x1b" not in text


def test_each_model_gets_as_much_of_the_conversation_as_fits_it_and_nothing_is_added() -> None:
    small, large = voice("base", "a b c", context=12), voice("tuned", "d", context=100)
    session = ChatSession.with_model(large.speaker, reserve=4, system="be brief")
    session.turns += [Message("user", "one two three"), Message("assistant", "four five")]
    told: list[str] = []
    readings = compare([small, large], session, "and now?", Sampling(max_tokens=4), told.append)
    assert [reading.text for reading in readings] == ["a b c", "d"]
    assert [reading.dropped for reading in readings] == [2, 0]
    assert isinstance(small.speaker, Parrot) and isinstance(large.speaker, Parrot)
    assert [message.content for message in small.speaker.sent] == ["be brief", "and now?"]
    assert len(large.speaker.sent) == 4
    assert len(session.turns) == 2
    assert session.limit == 100
    assert told == ["the base model:\na b c\n", "the tuned model:\nd\n"]


def test_a_question_that_does_not_fit_one_of_them_is_refused() -> None:
    small, large = voice("base", "a", context=6), voice("tuned", "b")
    session = ChatSession.with_model(large.speaker, reserve=4)
    with pytest.raises(UserError, match="has 3 tokens"):
        compare([small, large], session, "one two three", Sampling(max_tokens=4), lambda _text: None)


@pytest.mark.parametrize(
    ("live", "pair"),
    [
        ("base", ("base", "tuned")),
        ("tuned", ("base", "tuned")),
        ("0003", ("base", "0003")),
        ("m.gguf", ("base", "m.gguf")),
    ],
)
def test_the_base_is_compared_with_the_live_model(live: str, pair: tuple[str, str]) -> None:
    assert pair_to_compare(live) == pair

"""A conversation with a chat model: history, and what of it still fits the model's context. No I/O."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from labtune.errors import UserError
from labtune.serving.speaker import Speaker
from labtune.types import Message

ASSUMED_CONTEXT = 4096
"""Tokens, where a model does not say how many it can read."""

Count = Callable[[Sequence[Message]], int]
"""Tokens of the rendered prompt that a chat becomes."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is sent for one question: the messages, and how many earlier ones did not fit any more."""

    messages: tuple[Message, ...]
    dropped: int


@dataclass(slots=True)
class ChatSession:
    """The turns of one conversation.

    Args:
        count: counts a chat's tokens as the model will see them.
        limit: tokens that prompt and answer may have together.
        reserve: tokens of it kept free for the answer.
        system: system prompt, or None.
        most_turns: earlier questions (with their answers) that are sent at most; None = as many as fit.
    """

    count: Count
    limit: int
    reserve: int
    system: str | None = None
    most_turns: int | None = None
    turns: list[Message] = field(default_factory=list)

    @classmethod
    def with_model(
        cls, model: Speaker, *, reserve: int, system: str | None = None, most_turns: int | None = None
    ) -> ChatSession:
        """A session that counts as `model` does: with its own template and tokenizer."""
        session = cls(count=len, limit=0, reserve=reserve, system=system, most_turns=most_turns)
        session.adopt(model)
        return session

    def adopt(self, model: Speaker) -> None:
        """Go on with another model: its tokens and its context count from now on."""
        self.count = model.count
        self.limit = model.context_length or ASSUMED_CONTEXT

    def ask(self, question: str) -> Prompt:
        """Add a question and say what to send: system prompt, as many newest turns as fit, the question.

        The system prompt and the question are never dropped; older turns go in pairs, oldest first.

        Raises:
            UserError: system prompt and question alone do not fit; the question is not added.
        """
        asked = Message("user", question)
        prompt = self._fit([*self.turns, asked])
        self.turns.append(asked)
        return prompt

    def answer(self, text: str) -> None:
        """Add the model's answer to the last question."""
        self.turns.append(Message("assistant", text))

    def take_back(self) -> str | None:
        """Remove the last question and its answer, and return the question (None when there is none)."""
        while self.turns:
            turn = self.turns.pop()
            if turn.role == "user":
                return turn.content
        return None

    def last_question(self) -> str | None:
        """The question that was asked last."""
        place = self.place_of_last()
        return None if place is None else self.turns[place].content

    def place_of_last(self) -> int | None:
        """Where among the turns the last question stands."""
        places = [index for index, turn in enumerate(self.turns) if turn.role == "user"]
        return places[-1] if places else None

    def restart(self) -> None:
        """Forget all turns; the system prompt stays."""
        self.turns.clear()

    def messages(self) -> tuple[Message, ...]:
        """Everything said so far, system prompt first."""
        return (*self._head(), *self.turns)

    def _head(self) -> tuple[Message, ...]:
        return (Message("system", self.system),) if self.system else ()

    def _fit(self, turns: list[Message]) -> Prompt:
        starts = [index for index, turn in enumerate(turns) if turn.role == "user"]
        if self.most_turns is not None:
            starts = starts[-self.most_turns - 1 :]
        room = self.limit - self.reserve

        def fits(start: int) -> bool:
            return self.count((*self._head(), *turns[start:])) <= room

        # Mostly all fits; otherwise fewer turns have fewer tokens, so halving finds the first that does.
        place = 0 if fits(starts[0]) else bisect_left(starts, True, lo=1, key=fits)
        if place < len(starts):
            return Prompt((*self._head(), *turns[starts[place] :]), starts[place] - starts[0])
        tokens = self.count((*self._head(), *turns[starts[-1] :]))
        raise UserError(
            f"the message has {tokens} tokens with its system prompt; {room} fit "
            f"({self.limit} of context, {self.reserve} kept for the answer)",
            hint="shorten it, or lower --max-tokens",
        )

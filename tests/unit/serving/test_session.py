"""What a conversation sends when it outgrows the context."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labtune.errors import UserError
from labtune.serving.session import ChatSession
from labtune.types import Message


def words(messages: Sequence[Message]) -> int:
    """A word is a token, and each message costs one more, as templates do."""
    return sum(len(message.content.split()) + 1 for message in messages)


def talk(session: ChatSession, *pairs: tuple[str, str]) -> None:
    for question, answer in pairs:
        session.ask(question)
        session.answer(answer)


def test_everything_is_sent_while_it_fits() -> None:
    session = ChatSession(words, limit=20, reserve=5, system="be brief")
    talk(session, ("a b", "c"))
    prompt = session.ask("d e")
    assert [message.content for message in prompt.messages] == ["be brief", "a b", "c", "d e"]
    assert [message.role for message in prompt.messages] == ["system", "user", "assistant", "user"]
    assert prompt.dropped == 0


def test_oldest_turns_go_first_in_pairs_and_the_system_prompt_stays() -> None:
    session = ChatSession(words, limit=20, reserve=5, system="be brief")
    talk(session, ("q1 x", "a1"), ("q2 x", "a2"))
    # system 3 + turns 5 + 5 + question 3 = 16 tokens, 15 fit: the first pair goes, 11 remain.
    prompt = session.ask("q3 x")
    assert [message.content for message in prompt.messages] == ["be brief", "q2 x", "a2", "q3 x"]
    assert prompt.dropped == 2


def test_the_context_may_be_filled_to_the_last_token() -> None:
    session = ChatSession(words, limit=21, reserve=5, system="be brief")
    talk(session, ("q1 x", "a1"), ("q2 x", "a2"))
    assert session.ask("q3 x").dropped == 0


def test_what_was_left_out_is_still_part_of_the_conversation() -> None:
    session = ChatSession(words, limit=8, reserve=2)
    talk(session, ("one two", "three"), ("four five", "six"))
    assert session.ask("seven").dropped == 4
    assert [message.content for message in session.messages()] == [
        "one two",
        "three",
        "four five",
        "six",
        "seven",
    ]


@pytest.mark.parametrize(
    ("most", "sent"),
    [
        (0, ["q3"]),
        (1, ["q2", "a2", "q3"]),
        (2, ["q1", "a1", "q2", "a2", "q3"]),
        (9, ["q1", "a1", "q2", "a2", "q3"]),
    ],
)
def test_no_more_turns_are_sent_than_wanted(most: int, sent: list[str]) -> None:
    session = ChatSession(words, limit=50, reserve=5, system="be brief", most_turns=most)
    talk(session, ("q1", "a1"), ("q2", "a2"))
    prompt = session.ask("q3")
    assert [message.content for message in prompt.messages] == ["be brief", *sent]
    assert prompt.dropped == 0
    assert len(session.messages()) == 6


def test_a_question_that_cannot_fit_is_refused_with_its_size_and_not_kept() -> None:
    session = ChatSession(words, limit=10, reserve=5, system="be brief")
    with pytest.raises(UserError, match=r"has 7 tokens .* 5 fit \(10 of context, 5 kept"):
        session.ask("one two three")
    assert session.turns == []


def test_taking_back_removes_question_and_answer() -> None:
    session = ChatSession(words, limit=50, reserve=5)
    talk(session, ("q1", "a1"), ("q2", "a2"))
    assert session.take_back() == "q2"
    assert [message.content for message in session.turns] == ["q1", "a1"]
    session.ask("q3")
    assert session.take_back() == "q3"
    assert session.take_back() == "q1"
    assert session.take_back() is None


def test_restart_keeps_the_system_prompt() -> None:
    session = ChatSession(words, limit=50, reserve=5, system="be brief")
    talk(session, ("q1", "a1"))
    session.restart()
    assert session.messages() == (Message("system", "be brief"),)


@given(
    turns=st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), max_size=12),
    question=st.integers(1, 9),
    limit=st.integers(1, 60),
    system=st.sampled_from([None, "be brief"]),
)
def test_a_prompt_always_fits_and_ends_with_the_question(
    turns: list[tuple[int, int]], question: int, limit: int, system: str | None
) -> None:
    session = ChatSession(words, limit=limit, reserve=3, system=system)
    for asked, answered in turns:
        session.turns += [Message("user", "w " * asked), Message("assistant", "w " * answered)]
    text = "w " * question
    head = [Message("system", system)] if system else []
    alone = words([*head, Message("user", text)])
    if alone + 3 > limit:
        with pytest.raises(UserError):
            session.ask(text)
        return
    prompt = session.ask(text)
    assert words(prompt.messages) + 3 <= limit
    assert prompt.messages[-1] == Message("user", text)
    assert list(prompt.messages[: len(head)]) == head
    kept = len(prompt.messages) - len(head)
    assert prompt.dropped + kept == len(session.turns)
    # One more pair would not have fitted.
    if prompt.dropped:
        assert words([*head, *session.turns[prompt.dropped - 2 :]]) + 3 > limit

"""Stop strings end an answer, and no part of one is ever shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labtune.serving.stops import StopText


def shown(stops: list[str], pieces: list[str]) -> tuple[str, bool]:
    text = StopText(stops)
    out = "".join(text.feed(piece) for piece in pieces)
    return out + ("" if text.found else text.finish()), text.found


def test_what_may_become_a_stop_waits_and_comes_when_it_does_not() -> None:
    text = StopText(["STOP"])
    assert text.feed("go ST") == "go "
    assert text.feed("ILL on") == "STILL on"
    assert text.feed(" S") == " "
    assert text.finish() == "S"
    assert not text.found


def test_after_a_stop_nothing_is_shown() -> None:
    text = StopText(["\n\n"])
    assert text.feed("one\n") == "one"
    assert text.feed("\ntwo") == ""
    assert text.found
    assert text.feed("three") == ""
    assert text.finish() == ""


@pytest.mark.parametrize(
    ("stops", "whole", "expected"),
    [
        (["is", "capital"], "The capital is", "The "),
        (["aab"], "aaab", "a"),
        ([""], "all of it", "all of it"),
        ([], "all of it", "all of it"),
    ],
)
def test_the_first_stop_in_the_text_counts(stops: list[str], whole: str, expected: str) -> None:
    assert shown(stops, [whole])[0] == expected
    assert shown(stops, list(whole))[0] == expected


@given(
    st.lists(st.text("ab", min_size=1, max_size=3), max_size=3),
    st.lists(st.text("abc", max_size=4), max_size=8),
)
def test_pieces_never_change_what_is_shown(stops: list[str], pieces: list[str]) -> None:
    whole = "".join(pieces)
    ends = [place for stop in stops if (place := whole.find(stop)) >= 0]
    out, found = shown(stops, pieces)
    assert found == bool(ends)
    if not ends:
        assert out == whole
    else:
        # Cut piece by piece, a longer stop that began earlier may end later than a shorter one inside it.
        assert whole.startswith(out)
        assert all(stop not in out for stop in stops)
        assert len(out) >= min(ends)

"""A streamed answer is the whole answer, whatever the tokens are made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from families import make_family
from labtune.models.hf import HfChatModel
from labtune.protocols import Sampling
from labtune.types import Message

CHAT = (Message("user", "What colour is the sky? 天空是什么颜色？"),)


@pytest.mark.parametrize("family", ["mistral", "phi4mini", "gptoss"])
def test_pieces_join_to_the_reply_for_every_kind_of_vocabulary(family: str, tmp_path: Path) -> None:
    model = HfChatModel.load(make_family(family, tmp_path / family), name=family)
    for seed in range(4):
        # Random weights, and hot: nearly every token of the vocabulary comes, single bytes too.
        sampling = Sampling(max_tokens=40, temperature=1.5, seed=seed)
        stream = model.stream(CHAT, sampling)
        text = "".join(stream)
        reply = model.complete([CHAT], sampling)[0]
        assert text == reply.text
        assert (stream.stopped, stream.n_tokens) == (reply.stopped, reply.n_tokens)
        assert stream.n_prompt_tokens == reply.n_prompt_tokens == model.count(CHAT)


def test_a_stream_that_is_closed_ends() -> None:
    from labtune.models.stream import TextStream

    assert list(TextStream()) == []

"""Rows of which more than the answers is trained: chats whose user turns count, and plain text.

`models.template` renders chats for the loss on answers; here the mask is widened. What is trained of a user's
turn is its content: role marks and the end of the turn come from the template, and the student never has to
write them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from labtune.errors import TrainingError
from labtune.models.conversation import Conversation, chat_texts, conversations, defused
from labtune.models.masks import Tokens
from labtune.models.quiet import no_warnings
from labtune.models.template import render_batch
from labtune.types import Message

_MARK = "\ue000{}\ue001"
"""Stands for a turn's content while the template's own text is found out; private use, in no vocabulary."""


def render_unmasked(tokenizer: Any, chats: Sequence[Sequence[Message]]) -> list[Tokens]:
    """Render whole chats; the mask is 1 for the answers and for the content of the user's turns.

    Raises:
        TrainingError: the template rewrites what a turn says, so that its place cannot be told.
    """
    rendered = render_batch(tokenizer, chats)
    return [
        (ids, _with_user_turns(tokenizer, chat, ids, mask))
        for chat, (ids, mask) in zip(chats, rendered, strict=True)
    ]


def render_texts(tokenizer: Any, texts: Sequence[str]) -> list[Tokens]:
    """Plain texts as a base model reads them: its beginning, the text, its end token; all trained."""
    if not texts:
        return []
    with no_warnings():
        encoded = tokenizer([defused(tokenizer, text) for text in texts])
    end = tokenizer.eos_token_id
    rows: list[Tokens] = []
    for ids in encoded["input_ids"]:
        whole = ids if end is None or (ids and ids[-1] == end) else [*ids, end]
        rows.append((whole, [1] * len(whole)))
    return rows


def _with_user_turns(tokenizer: Any, chat: Sequence[Message], ids: list[int], mask: list[int]) -> list[int]:
    text, spans = _user_spans(tokenizer, chat)
    with no_warnings():
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    if encoded["input_ids"] != ids:
        raise TrainingError(
            "the student's tokenizer splits a chat differently with and without positions, so a row with "
            "`unmask` cannot be trained",
            hint="mix.unmask: false",
        )
    widened = list(mask)
    for place, (start, end) in enumerate(encoded["offset_mapping"]):
        if any(start < stop and end > begin for begin, stop in spans):
            widened[place] = 1
    return widened


def _user_spans(tokenizer: Any, chat: Sequence[Message]) -> tuple[str, list[tuple[int, int]]]:
    """The rendered chat and where in it the contents of the user's turns stand."""
    turns = conversations(tokenizer, [chat])[0]
    marked: Conversation = [{**turn, "content": _MARK.format(number)} for number, turn in enumerate(turns)]
    text, frame = chat_texts(tokenizer, [turns, marked])
    at, spans = 0, []
    for number, turn in enumerate(turns):
        before, found, frame = frame.partition(_MARK.format(number))
        start, content = at + len(before), turn["content"]
        shown = content if text.startswith(content, start) else content.strip()
        if not found or text[at:start] != before or not text.startswith(shown, start):
            raise TrainingError(
                "the student's chat template rewrites what a turn says, so a row with `unmask` cannot be "
                f"trained (turn {number + 1}, {turn['role']})",
                hint="mix.unmask: false",
            )
        at = start + len(shown)
        if turn["role"] == "user":
            spans.append((start, at))
    return text, spans

"""Which tokens of a rendered chat the loss counts, with and without generation marks in the template.

The rule: a token is trained exactly if the model would have to write it. For each answer the chat is rendered
twice more, up to the point where the answer begins (what generation starts from) and up to the answer's end
(what generation should write); the tokens in which the second goes on after the first are trained, as far as
the whole chat agrees with it and up to the end token. So what a template adds, trims or rewrites comes out
right by itself, and an answer that stands in the history otherwise than it is generated is not trained there.

Source: the definition is this project's own; generation marks are `{% generation %}` of transformers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from jinja2.exceptions import TemplateError

from labtune.models.conversation import Conversation, chat_texts, refusal
from labtune.models.quiet import no_warnings

Tokens = tuple[list[int], list[int]]
"""Token ids and, of the same length, the mask: 1 where the loss counts."""

_MARK = re.compile(r"\{%[-+]?\s*generation\s*[-+]?%\}")

_QUESTION, _ANSWERS = "What colour is the sky?", ("Blue.", "天空是蓝色的")
"""Answers that differ from their first character to their last, so that the frame round them stands out."""

PROBES: tuple[Conversation, ...] = (
    [{"role": "user", "content": _QUESTION}, {"role": "assistant", "content": _ANSWERS[0]}],
    [{"role": "user", "content": _QUESTION}, {"role": "assistant", "content": _ANSWERS[1]}],
    [
        {"role": "user", "content": _QUESTION},
        {"role": "assistant", "content": _ANSWERS[0]},
        {"role": "user", "content": "And the grass?"},
        {"role": "assistant", "content": "Green."},
    ],
)


@dataclass(frozen=True, slots=True)
class Frame:
    """What a template puts round an answer.

    Attributes:
        opening: what the model has to write before the answer's own text.
        end: the last token of an answer, after which nothing is trained: the tokenizer's end of text where
            the template goes on to it, else the first control token; None when the template writes none.
        stop: the first control token behind an answer's text, at which generation can stop already.
        marks: how far the template's generation marks can be followed: `none` (there are none),
            `as_they_are`, or `cut` (they also mark what the model does not write, such as the role).
    """

    opening: str
    end: int | None
    stop: int | None
    marks: str


_FRAMES: WeakKeyDictionary[Any, tuple[str, Frame]] = WeakKeyDictionary()


def frame_of(tokenizer: Any) -> Frame:
    """The frame of a tokenizer's own template, found by rendering examples; remembered."""
    template = tokenizer.chat_template
    known = _FRAMES.get(tokenizer)
    if known is None or known[0] != template:
        known = (template, _find_frame(tokenizer))
        _FRAMES[tokenizer] = known
    return known[1]


def mask_chats(tokenizer: Any, chats: Sequence[Conversation]) -> list[Tokens]:
    """Render whole chats with their masks; the work is done in one batch.

    Raises:
        ModelError: the template refuses a chat.
    """
    frame = frame_of(tokenizer)
    if frame.marks == "as_they_are":
        return _marked(tokenizer, chats)
    exact = _exact(tokenizer, chats, frame.end)
    if frame.marks == "none":
        return exact
    marked = _marked(tokenizer, chats)
    return [_both(one, other) for one, other in zip(exact, marked, strict=True)]


def answer_frame(tokenizer: Any, template: str | None = None) -> tuple[str, str] | None:
    """What stands between the prompt of generation and an answer's text, and what after it.

    None when the prompt is not the beginning of the whole chat, or the frame depends on the answer.
    """
    prompts = chat_texts(tokenizer, [chat[:1] for chat in PROBES[:2]], prompt=True, template=template)
    wholes = chat_texts(tokenizer, PROBES[:2], template=template)
    found = set()
    for prompt, whole, answer in zip(prompts, wholes, _ANSWERS, strict=True):
        opening, seen, closing = whole.removeprefix(prompt).partition(answer)
        if not whole.startswith(prompt) or not seen:
            return None
        found.add((opening, closing))
    return found.pop() if len(found) == 1 else None


def _find_frame(tokenizer: Any) -> Frame:
    found = answer_frame(tokenizer)
    opening, closing = found or ("", "")
    framing = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    ends = [token for token in encode(tokenizer, [closing])[0] if token in framing]
    stop = ends[0] if ends else None
    end = tokenizer.eos_token_id if tokenizer.eos_token_id in ends else stop
    if not _MARK.search(tokenizer.chat_template):
        return Frame(opening, end, stop, "none")
    exact = _exact(tokenizer, PROBES, end)
    marked = _marked(tokenizer, PROBES)
    wide = any(
        ids == other_ids and any(flag > other for flag, other in zip(marks, mask, strict=True))
        for (other_ids, mask), (ids, marks) in zip(exact, marked, strict=True)
    )
    return Frame(opening, end, stop, "cut" if found and wide else "as_they_are")


def _exact(tokenizer: Any, chats: Sequence[Conversation], end: int | None) -> list[Tokens]:
    places = [
        (number, turn)
        for number, chat in enumerate(chats)
        for turn, message in enumerate(chat)
        if message["role"] == "assistant" and turn
    ]
    # Up to its last answer a chat is mostly the whole chat, which need not be rendered twice.
    early = [place for place in places if place[1] + 1 < len(chats[place[0]])]
    wholes = chat_texts(tokenizer, chats)
    prompts = chat_texts(tokenizer, [chats[number][:turn] for number, turn in places], prompt=True)
    parts = chat_texts(tokenizer, [chats[number][: turn + 1] for number, turn in early])
    rows: list[Tokens] = [(ids, [0] * len(ids)) for ids in encode(tokenizer, wholes)]
    answered = dict(zip(early, encode(tokenizer, parts), strict=True))
    for place, text, prompt in zip(places, prompts, encode(tokenizer, prompts), strict=True):
        number = place[0]
        answer = answered.get(place, rows[number][0])
        if answer[: len(prompt)] == prompt:
            _train(rows[number], prompt, answer, end)
        elif place not in answered and wholes[number].startswith(text):
            rows[number] = _joined(tokenizer, prompt, wholes[number][len(text) :], end) or rows[number]
    return rows


def _train(row: Tokens, prompt: Sequence[int], answer: Sequence[int], end: int | None) -> None:
    """Mark what `answer` adds to `prompt`, up to the end token and as far as the row agrees with it."""
    ids, mask = row
    if ids[: len(prompt)] != prompt:
        return
    for place in range(len(prompt), min(len(ids), len(answer))):
        if ids[place] != answer[place]:
            return
        mask[place] = 1
        if answer[place] == end:
            return


def _joined(tokenizer: Any, prompt: list[int], rest: str, end: int | None) -> Tokens | None:
    """Prompt and answer tokenised apart, as generation sees them, where together they would grow into one.

    None when the tokenizer would not read the answer alone as it is written.
    """
    answer = encode(tokenizer, [rest])[0]
    if tokenizer.decode(answer) != rest:
        return None
    row: Tokens = ([*prompt, *answer], [0] * (len(prompt) + len(answer)))
    _train(row, prompt, row[0], end)
    return row


def encode(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of rendered texts, nothing added."""
    if not texts:
        return []
    with no_warnings():
        ids: list[list[int]] = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    return ids


def _marked(tokenizer: Any, chats: Sequence[Conversation]) -> list[Tokens]:
    """Masks as the template's generation marks say; about 10k short rows a second on one core."""
    if not chats:
        return []
    try:
        with no_warnings():
            encoded = tokenizer.apply_chat_template(
                list(chats), tokenize=True, return_dict=True, return_assistant_tokens_mask=True
            )
    except (TemplateError, TypeError, ValueError, LookupError, ArithmeticError) as error:
        raise refusal(chats, error) from error
    return list(zip(encoded["input_ids"], encoded["assistant_masks"], strict=True))


def _both(exact: Tokens, marked: Tokens) -> Tokens:
    if exact[0] != marked[0]:
        return exact
    return exact[0], [one & other for one, other in zip(exact[1], marked[1], strict=True)]

"""The one place where chats become tokens: training, evaluation and chat render with the same template.

The assistant mask (1 = trained) comes from the template's `{% generation %}` marks. Message contents are
untrusted: text that spells a special token is broken up, so that it can neither end a turn nor open one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from labtune.errors import TrainingError
from labtune.models.quiet import no_warnings
from labtune.types import Message

_EXAMPLE = (
    Message("user", "What colour is the sky?"),
    Message("assistant", "Blue."),
    Message("user", "And the grass?"),
    Message("assistant", "Green."),
)

Tokens = tuple[list[int], list[int]]
"""Token ids and, of the same length, the mask: 1 where the loss counts."""


@dataclass(frozen=True, slots=True)
class MarkedToken:
    """One token of a rendered chat as text, and whether the loss counts it."""

    text: str
    trained: bool


def render_batch(tokenizer: Any, chats: Sequence[Sequence[Message]]) -> list[Tokens]:
    """Render whole chats with their assistant masks; about 10k short rows a second on one core."""
    if not chats:
        return []
    with no_warnings():
        encoded = tokenizer.apply_chat_template(
            _contents(tokenizer, chats),
            tokenize=True,
            return_dict=True,
            return_assistant_tokens_mask=True,
        )
    return list(zip(encoded["input_ids"], encoded["assistant_masks"], strict=True))


def render_ids(tokenizer: Any, messages: Sequence[Message]) -> Tokens:
    """Render one whole chat with its assistant mask."""
    return render_batch(tokenizer, [messages])[0]


def render_prompts(tokenizer: Any, chats: Sequence[Sequence[Message]]) -> list[list[int]]:
    """Render chats up to the point where the assistant begins to speak."""
    if not chats:
        return []
    with no_warnings():
        encoded = tokenizer.apply_chat_template(
            _contents(tokenizer, chats), tokenize=True, return_dict=True, add_generation_prompt=True
        )
    ids: list[list[int]] = encoded["input_ids"]
    return ids


def end_token(tokenizer: Any) -> int | None:
    """The token that ends a trained turn, or None when the template trains nothing."""
    ids, mask = render_ids(tokenizer, _EXAMPLE)
    trained = [token for token, flag in zip(ids, mask, strict=True) if flag]
    return trained[-1] if trained else None


def check_template(tokenizer: Any, messages: Sequence[Message] = _EXAMPLE) -> list[MarkedToken]:
    """Render an example and prove that its template can be trained with.

    Returns:
        The example's tokens, marked as trained or masked, to be shown before training.

    Raises:
        TrainingError: there is no template, nothing is trained, the end of the turn is not trained, or the
            prompt of generation is not the beginning of what training sees.
    """
    if not tokenizer.chat_template:
        raise TrainingError(
            "the student's tokenizer has no chat template",
            hint="add chat_template.jinja with {% generation %} marks to the student's folder",
        )
    ids, mask = render_ids(tokenizer, messages)
    if not any(mask):
        raise TrainingError(
            "the student's chat template marks no token as trained",
            hint="put {% generation %} ... {% endgeneration %} round the answer and its end token",
        )
    _check_end(tokenizer, ids, mask)
    opening = [message.role for message in messages].index("assistant")
    prompt = render_prompts(tokenizer, [messages[:opening]])[0]
    if ids[: len(prompt)] != prompt or mask.index(1) != len(prompt):
        raise TrainingError(
            "the student's chat template opens an answer differently in training than in generation",
            hint="let add_generation_prompt write exactly what stands before {% generation %}",
        )
    return [
        MarkedToken(text, bool(flag))
        for text, flag in zip(tokenizer.batch_decode([[token] for token in ids]), mask, strict=True)
    ]


def _check_end(tokenizer: Any, ids: list[int], mask: list[int]) -> None:
    special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    last = len(mask) - 1 - mask[::-1].index(1)
    if ids[last] not in special:
        raise TrainingError(
            "the end token of the assistant's turn is not trained; the student would never learn to stop "
            f"(the last trained token is {tokenizer.decode([ids[last]])!r})",
            hint="move the end token inside {% generation %} ... {% endgeneration %} of the chat template",
        )


def show_example(tokens: Sequence[MarkedToken]) -> str:
    """Marked tokens as text: trained stretches stand between `[[` and `]]`."""
    text, inside = [], False
    for token in tokens:
        if token.trained != inside:
            text.append("[[" if token.trained else "]]")
            inside = token.trained
        text.append(token.text)
    return "".join(text) + ("]]" if inside else "")


def defused(tokenizer: Any, content: str) -> str:
    """A text in which nothing reads as one of the tokenizer's special tokens."""
    return _defuse(content, _special(tokenizer))


def _special(tokenizer: Any) -> list[str]:
    special = [text for text in tokenizer.all_special_tokens if len(text) > 1]
    special += [str(token) for token in tokenizer.added_tokens_decoder.values() if len(str(token)) > 1]
    return special


def _contents(tokenizer: Any, chats: Sequence[Sequence[Message]]) -> list[list[dict[str, str]]]:
    special = _special(tokenizer)
    return [
        [{"role": message.role, "content": _defuse(message.content, special)} for message in chat]
        for chat in chats
    ]


def _defuse(content: str, special: Sequence[str]) -> str:
    if "<" not in content and "[" not in content:
        return content
    for text in special:
        content = content.replace(text, f"{text[0]} {text[1:]}")
    return content

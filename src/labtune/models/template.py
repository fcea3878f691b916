"""The one place where chats become tokens: training, evaluation and chat render with the same template.

Which tokens are trained says `models.masks`; what is done about contents that spell control tokens,
`models.conversation`; how the template of a student is settled, `models.resolve`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from labtune.errors import TrainingError
from labtune.models.conversation import chat_texts, conversations
from labtune.models.masks import Tokens, encode, mask_chats
from labtune.types import Message

_EXAMPLE = (
    Message("user", "What colour is the sky?"),
    Message("assistant", "Blue."),
    Message("user", "And the grass?"),
    Message("assistant", "Green."),
)


@dataclass(frozen=True, slots=True)
class MarkedToken:
    """One token of a rendered chat as text, and whether the loss counts it."""

    text: str
    trained: bool


def render_batch(tokenizer: Any, chats: Sequence[Sequence[Message]]) -> list[Tokens]:
    """Render whole chats with the masks of their answers.

    Raises:
        ModelError: the template refuses a chat.
    """
    return mask_chats(tokenizer, conversations(tokenizer, chats)) if chats else []


def render_ids(tokenizer: Any, messages: Sequence[Message]) -> Tokens:
    """Render one whole chat with its assistant mask."""
    return render_batch(tokenizer, [messages])[0]


def render_prompts(tokenizer: Any, chats: Sequence[Sequence[Message]]) -> list[list[int]]:
    """Render chats up to the point where the assistant begins to speak.

    Raises:
        ModelError: the template refuses a chat.
    """
    return encode(tokenizer, chat_texts(tokenizer, conversations(tokenizer, chats), prompt=True))


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
        ModelError: the template refuses the example.
    """
    if not tokenizer.chat_template:
        raise TrainingError(
            "the student's tokenizer has no chat template",
            hint="add chat_template.jinja to the student's folder",
        )
    last = max((place for place, turn in enumerate(messages) if turn.role == "assistant"), default=0)
    chat = messages[: last + 1]
    ids, mask = render_ids(tokenizer, chat)
    prompt = render_prompts(tokenizer, [chat[:last]])[0]
    trained = mask[len(prompt) :]
    if ids[: len(prompt)] != prompt or (any(mask) and not (trained and trained[0])):
        raise TrainingError(
            "the student's chat template opens an answer differently in training than in generation",
            hint="let add_generation_prompt write exactly what stands before the answer",
        )
    if not any(trained):
        raise TrainingError(
            "the student's chat template writes no answer that could be trained",
            hint="let it write the content of the assistant's turns, and mark no less than that",
        )
    _check_end(tokenizer, ids, mask)
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
            hint="let the chat template write an end token after each answer, inside of its generation marks",
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

"""Chats as templates take them, and as text: untrusted contents in, one rendered string out.

Text that spells a control token is broken up, so that it can neither end a turn nor open one. A reasoning
block at the beginning of an answer is left out: students are tuned to answer without (see `models.resolve`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2.exceptions import TemplateError

from labtune.errors import ModelError
from labtune.models.quiet import no_warnings
from labtune.types import Message

Conversation = list[dict[str, str]]
"""A chat as Hugging Face templates take it."""

_THOUGHT = re.compile(r"\s*<think>.*?</think>\s*", re.DOTALL)


def conversations(tokenizer: Any, chats: Sequence[Sequence[Message]]) -> list[Conversation]:
    """Chats for the template, with contents that no longer spell control tokens."""
    return harmless(chats, control_tokens(tokenizer))


def harmless(chats: Sequence[Sequence[Message]], control: Sequence[str]) -> list[Conversation]:
    """Chats for a template, with contents that spell none of the texts of `control`."""
    return [
        [{"role": message.role, "content": _content(message, control)} for message in chat] for chat in chats
    ]


def chat_texts(
    tokenizer: Any, chats: Sequence[Conversation], *, prompt: bool = False, template: str | None = None
) -> list[str]:
    """Rendered chats; with `prompt` up to the point where the assistant begins to speak.

    Args:
        tokenizer: whose template and special tokens to use.
        chats: contents as `conversations` makes them.
        prompt: whether the beginning of an answer is opened at the end.
        template: another template than the tokenizer's own.

    Raises:
        ModelError: the template cannot render a chat.
    """
    if not chats:
        return []
    try:
        with no_warnings():
            texts: list[str] = tokenizer.apply_chat_template(
                chats, tokenize=False, add_generation_prompt=prompt, chat_template=template
            )
    except (TemplateError, TypeError, ValueError, LookupError, ArithmeticError) as error:
        raise refusal(chats, error) from error
    return texts


def refusal(chats: Sequence[Conversation], error: Exception) -> ModelError:
    """The error for a chat that the template does not take."""
    reason = str(error).strip().splitlines() or [type(error).__name__]
    roles = " | ".join(sorted({", ".join(turn["role"] for turn in chat) for chat in chats[:100]})[:3])
    return ModelError(
        f"the student's chat template refuses a chat (turns: {roles}): {reason[0]}",
        hint="mend the template (chat_template.jinja in the student's folder), or leave such chats out",
    )


def control_tokens(tokenizer: Any) -> list[str]:
    """Texts that the tokenizer turns into tokens by which chats are framed."""
    template = tokenizer.chat_template or ""
    named: Mapping[str, str] = template if isinstance(template, dict) else {"default": template}
    written = "".join(named.values())
    found = [text for text in tokenizer.all_special_tokens if len(text) > 1]
    for token in tokenizer.added_tokens_decoder.values():
        text = str(token)
        # Some vocabularies hold plain text such as a double line break or a tag as added tokens.
        framing = getattr(token, "special", True) or (text in written and not text.isspace())
        if len(text) > 1 and framing:
            found.append(text)
    return list(dict.fromkeys(found))


def defused(tokenizer: Any, content: str) -> str:
    """A text in which nothing reads as one of the tokenizer's control tokens."""
    return _defuse(content, control_tokens(tokenizer))


def _content(message: Message, control: Sequence[str]) -> str:
    content = message.content
    if message.role == "assistant" and "</think>" in content:
        content = content[thought.end() :] if (thought := _THOUGHT.match(content)) else content
    return _defuse(content, control)


def _defuse(content: str, control: Sequence[str]) -> str:
    if "<" not in content and "[" not in content:
        return content
    for text in control:
        content = content.replace(text, f"{text[0]} {text[1:]}")
    return content

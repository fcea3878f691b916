"""How many tokens a text has, guessed high, without the model's tokenizer.

Vocabularies spend about 4 ASCII characters on an English token and 1 to 1.5 tokens on a Chinese character;
here 3 ASCII characters, or 2 bytes of any other script, count as one token. Guessing high keeps a prompt from
overflowing; the endpoint's own count replaces the guess as soon as there is a reply.
"""

from __future__ import annotations

from collections.abc import Sequence

from labtune.types import Message

MESSAGE_TOKENS = 8
"""What a chat template adds to each message."""


def estimate_tokens(text: str) -> int:
    """Tokens of a text, rarely too few."""
    if text.isascii():
        return (len(text) + 2) // 3
    size = len(text.encode(errors="replace"))
    n_ascii = len(text.encode("ascii", "ignore"))
    return (n_ascii + 2) // 3 + (size - n_ascii + 1) // 2


def estimate_prompt(messages: Sequence[Message]) -> int:
    """Tokens of a chat's messages with the template around them."""
    return MESSAGE_TOKENS + sum(estimate_tokens(message.content) + MESSAGE_TOKENS for message in messages)

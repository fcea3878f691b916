"""The chunker's counting rule: an estimate of tokens that needs no tokenizer.

A word or mark counts 1.3 tokens (what byte-pair vocabularies of 30k to 150k entries spend on English prose,
rounded up), every started 12 characters of an overlong word count as one word more, and a character of a
script without blanks (Chinese, Japanese, Thai ...) counts 1. The rule only has to be the same everywhere.
"""

from __future__ import annotations

import re

_PIECE = re.compile(
    r"[\u0e00-\u0eff\u1780-\u17ff\u2e80-\u2fdf\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
    r"|\w{1,12}",
)


def count_tokens(text: str) -> int:
    """Estimated tokens of `text`, rounded up; 0 for text without words. Deterministic, linear."""
    tenths = sum(10 if _is_unspaced(piece) else 13 for piece in _PIECE.findall(text))
    return -(-tenths // 10)


def _is_unspaced(piece: str) -> bool:
    return len(piece) == 1 and (
        piece >= "\u2e80" or "\u0e00" <= piece <= "\u0eff" or "\u1780" <= piece <= "\u17ff"
    )

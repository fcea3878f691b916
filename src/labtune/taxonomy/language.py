"""The language of a text by its script: Chinese, Japanese, or English for everything else."""

from __future__ import annotations

import re
from collections.abc import Iterable

_KANA = re.compile(r"[\u3041-\u30ff\uff66-\uff9f]")
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_LETTER = re.compile(r"[^\W\d_]")
MAX_CHARACTERS = 20_000


def detect_language(texts: Iterable[str]) -> str:
    """`zh`, `ja` or `en`. Two Han characters weigh as much as a five-letter word."""
    text = "\n".join(texts)[:MAX_CHARACTERS]
    if text.isascii():
        return "en"
    kana, han = len(_KANA.findall(text)), len(_HAN.findall(text))
    letters = len(_LETTER.findall(text)) - kana - han
    if (kana + han) * 2.5 <= letters:
        return "en"
    return "ja" if kana * 10 > kana + han else "zh"

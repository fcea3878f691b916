"""What the faults of the content make of a good reply."""

from __future__ import annotations

import random
from typing import Any

from benchmarks.plausible_replies import is_chinese

REFUSAL = "I'm sorry, but I can't help with that request."
REFUSAL_ZH = "抱歉，我无法协助处理这个请求。"


def spoil(
    text: str, fault: str | None, draw: random.Random, messages: list[dict[str, Any]]
) -> tuple[str, str]:
    """The text after its fault, and the finish reason."""
    if fault == "truncated":
        return text[: max(1, len(text) // 2)], "length"
    if fault == "malformed":
        return _malformed(text, draw), "stop"
    if fault == "refusal":
        return REFUSAL_ZH if is_chinese(str(messages[-1].get("content"))) else REFUSAL, "stop"
    if fault == "content_filter":
        return "", "content_filter"
    return text, "stop"


def _malformed(text: str, draw: random.Random) -> str:
    """Some that a lenient reader may mend, some that nobody can."""
    if not text.startswith(("{", "[")):
        return ""
    return draw.choice(
        (
            f"Sure! Here is the JSON you asked for:\n```json\n{text}\n```\nLet me know if you need more.",
            text[:-1] + "," + text[-1],
            text.replace('"', "'"),
            text.replace('":', '"', 1),
            text[: len(text) * 2 // 3],
            "I have written the questions and the answers, as you asked.",
        )
    )

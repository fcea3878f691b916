"""Checks: an answer must be quoted from the document, a question well-formed and in its language."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from pydantic import Field

from labtune.config.section import Section
from labtune.generation.rows import Answer, BlockContext, Row

_CONTROL = re.compile(r"[\x00-\x1f]|\{\w*\}")
_DOUBLED = re.compile(
    r"\b(the|a|an|of|to|is|are|in|my|does|do|over|up|down|from|with|for|at|by|out|off) \1\b", re.I
)
_DANGLING = re.compile(r"(?:^|\s)(?:the|a|an|of my|whether)[?.!]?$", re.I)
# What is left of a phrase whose brackets or names were cut out.
_GAP = re.compile(r"\b(?:from|of|in|with|between|by) (?:and|or)\b|\b(?:and|or|than|from and)[?.]", re.I)
_CJK = re.compile(r"[\u3400-\u9fff]")
_GLUE = re.compile(
    r"^(?:Yes|No|是的|不是|可以|不可以|不能|能|要|不|是|不行|需要|不需要|对|没有|有|不用)?[\s,.:;，。、：；]*$"
)


class Check:
    """Passes sound rows; the others go to the rejections with their reason."""

    class Config(Section):
        """Bounds."""

        longest_question: int = Field(240, ge=1, description="Longest question, in characters.")
        longest_answer: int = Field(1200, ge=1, description="Longest answer, in characters.")

    name = "check"

    def __init__(self, config: Config, context: BlockContext) -> None:
        self._config = config
        self._context = context

    def __call__(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Rows without fault."""
        for row in rows:
            reason = self.fault(row)
            if reason is None:
                yield row
            else:
                answer = row.answer.text if row.answer else ""
                self._context.reject(
                    "check", reason, {"question": row.question, "answer": answer, "form": row.form}
                )

    def fault(self, row: Row) -> str | None:
        """Why a row is not sound, or None."""
        answer = row.answer
        if answer is None or not answer.text.strip():
            return "no_answer"
        if (
            len(row.question) > self._config.longest_question
            or len(answer.text) > self._config.longest_answer
        ):
            return "too_long"
        if (
            len(row.question) < 2
            or _CONTROL.search(row.question)
            or _DOUBLED.search(row.question)
            or _DANGLING.search(row.question)
            or _GAP.search(row.question)
        ):
            return "malformed"
        if bool(_CJK.search(row.passage.text)) != bool(_CJK.search(row.question)):
            return "language"
        if not grounded(answer, row.passage.document.text):
            return "not_grounded"
        if row.length == "short" and _gives_away(row.question, answer.text):
            return "answer_in_question"
        return None


def _unbalanced(text: str) -> bool:
    """True when a cut went through brackets or quotation marks."""
    pairs = ("()", "[]", "“”", "（）", "《》")
    return text.count('"') % 2 == 1 or any(text.count(pair[0]) != text.count(pair[1]) for pair in pairs)


def _gives_away(question: str, answer: str) -> bool:
    text = answer.casefold().strip(" .")
    return len(text) > 1 and text in question.casefold()


def grounded(answer: Answer, text: str) -> bool:
    """True when the answer is made of its quotes, in order, and glue (yes/no, punctuation) only."""
    position = 0
    remaining = answer.text
    if _GLUE.match(remaining) and answer.spans:
        return all(0 <= start < end <= len(text) for start, end in answer.spans)
    for start, end in answer.spans:
        quote = text[start:end]
        found = remaining.find(quote, position)
        if found < 0:
            found = remaining.casefold().find(quote.casefold(), position)
        if found < 0 or not _GLUE.match(remaining[position:found].strip()):
            return False
        position = found + len(quote)
    return bool(answer.spans) and bool(_GLUE.match(remaining[position:]))

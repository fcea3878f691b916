"""Rules that judge one output against one exam question. Pure functions of text.

*right* (the headline): all `must` terms stand in the output; without `must`, at least `CONTENT_SHARE` of the
answer's content words and all its numbers do. It asks whether the fact is said, not how; an output that adds
wrong things is not caught, which is why token F1 stands beside it.
"""

from __future__ import annotations

from collections import Counter

from labtune.evaluation.content import compact, content, has_term, normalise
from labtune.evaluation.content import tokens as answer_tokens
from labtune.protocols import ScoreValue
from labtune.types import ExamQuestion

CONTENT_SHARE = 0.6


def right(output: str, question: ExamQuestion) -> ScoreValue:
    """1 when the output says the answer, else 0, with what was found or missed."""
    if not output.strip():
        return ScoreValue(0.0, "empty output")
    if question.must:
        missing = [term for term in question.must if not has_term(output, term)]
        if missing:
            return ScoreValue(0.0, "missing " + ", ".join(repr(term) for term in missing))
        return ScoreValue(1.0, "all must words")
    return _by_content(output, question.answer)


def token_f1(output: str, question: ExamQuestion) -> ScoreValue:
    """Harmonic mean of precision and recall over tokens, repetitions counted (English articles are not)."""
    said, wanted = Counter(answer_tokens(output)), Counter(answer_tokens(question.answer))
    shared = (said & wanted).total()
    if not shared:
        return ScoreValue(0.0, "no shared token")
    precision, recall = shared / said.total(), shared / wanted.total()
    value = 2 * precision * recall / (precision + recall)
    return ScoreValue(value, f"precision {precision:.2f}, recall {recall:.2f}")


def _by_content(output: str, answer: str) -> ScoreValue:
    gold, said = content(answer), content(output)
    missing = sorted(gold.numbers - said.numbers)
    if missing:
        return ScoreValue(0.0, "missing number " + ", ".join(missing))
    if gold.size == 0:
        if gold.numbers:
            return ScoreValue(1.0, "all numbers")
        # Answers such as "It is." or "是" have no content; then the words themselves have to stand there.
        found = has_term(output, answer.strip().rstrip(".。!！?？")) if compact(answer) else False
        return ScoreValue(float(found), "answer found as it is" if found else "answer not found")
    text = normalise(output).replace(" ", "")
    n_said = len(gold.words & said.words) + sum(unit in text for unit in gold.units)
    share = n_said / gold.size
    # Counts are whole: 3 of 5 has to pass whatever 0.6 is in binary.
    passed = n_said * 10 >= round(CONTENT_SHARE * 10) * gold.size
    return ScoreValue(float(passed), f"{share:.2f} of the content words")

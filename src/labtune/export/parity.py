"""Whether an exported model says what the tuned one says: prompts, words, likelihoods and ends the same.

The exported file runs in the engine that will serve it. Each prompt is continued greedily by both; then the
reference scores the exported model's own words, so that likelihoods are compared place by place even behind a
first different word.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labtune.errors import ModelError
from labtune.export.reference import Continues, Reference
from labtune.models.llamacpp import Continuation
from labtune.types import Message

TOP = 10
"""Likeliest tokens whose log-probabilities are compared at each place."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a number format may change.

    Attributes:
        distance: mean difference of the log-probabilities of the `TOP` likeliest tokens, in nats.
        tie: where the texts part, how much likelier the reference may hold its own word (nats): below it the
            two words are as good as equally likely, and parting there is rounding.
        stops: difference of the shares of replies that end by themselves, beyond the replies that parted.
    """

    distance: float
    tie: float
    stops: float


LIMITS: Mapping[str, Limits] = {
    "f32": Limits(0.01, 0.02, 0.0),
    "f16": Limits(0.01, 0.02, 0.0),
    "bf16": Limits(0.05, 0.1, 0.0),
    "q8_0": Limits(0.15, 0.3, 0.0),
    "q6_k": Limits(0.3, 0.6, 0.0),
    "q5": Limits(0.5, 1.0, 0.1),
    "q4": Limits(1.0, 2.0, 0.2),
    "q3": Limits(1.6, 4.0, 0.3),
    "q2": Limits(3.2, 6.0, 0.4),
}
"""About two to three times what the built-in student and random models of all families show."""


@dataclass(frozen=True, slots=True)
class PromptParity:
    """One prompt on both sides.

    `distance` is the mean difference (nats) over its places, `margin` how much likelier the reference held
    its own word where the texts part (0: they do not).
    """

    prompt: str
    same_prompt: bool
    same_text: bool
    reference: str
    exported: str
    reference_stopped: bool
    exported_stopped: bool
    distance: float
    margin: float


@dataclass(frozen=True, slots=True)
class ParityReport:
    """The comparison over all prompts. `failures` is empty when the exported model may be shipped."""

    kind: str
    limits: Limits
    prompts: tuple[PromptParity, ...]
    failures: tuple[str, ...]

    @property
    def distance(self) -> float:
        """Mean difference of log-probabilities, in nats."""
        return sum(prompt.distance for prompt in self.prompts) / max(1, len(self.prompts))

    @property
    def same_texts(self) -> int:
        """Prompts with the same greedy text and the same end."""
        return sum(prompt.same_text for prompt in self.prompts)

    @property
    def stop_rates(self) -> tuple[float, float]:
        """Shares of replies that ended by themselves: the reference's and the exported model's."""
        count = max(1, len(self.prompts))
        return (
            sum(prompt.reference_stopped for prompt in self.prompts) / count,
            sum(prompt.exported_stopped for prompt in self.prompts) / count,
        )

    @property
    def summary(self) -> str:
        """One line for people."""
        before, after = self.stop_rates
        return (
            f"{self.same_texts} of {len(self.prompts)} replies the same, likelihoods apart by "
            f"{self.distance:.4f} nats (limit {self.limits.distance:g}), "
            f"{before:.0%} end by themselves before and {after:.0%} after"
        )


def limits_of(kind: str) -> Limits:
    """The limits of a number format."""
    return LIMITS.get(kind) or LIMITS[kind[:2]]


def compare(
    reference: Reference,
    exported: Continues,
    chats: Sequence[Sequence[Message]],
    *,
    kind: str,
    max_tokens: int,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> ParityReport:
    """Put the same chats before both models.

    Args:
        reference: the tuned model, as it was examined.
        exported: the exported model in the engine that will serve it.
        chats: prompts; each must fit both contexts together with `max_tokens`.
        kind: number format of the export, which sets the limits.
        max_tokens: longest reply.
        progress: called with the prompts done and in all.

    Raises:
        ModelError: an engine failed, or there is no prompt.
    """
    if not chats:
        raise ModelError("there is no prompt to compare the exported model with")
    limits = limits_of(kind)
    rows = []
    for count, chat in enumerate(chats, 1):
        rows.append(_compare_one(reference, exported, chat, max_tokens))
        progress(count, len(chats))
    report = ParityReport(kind, limits, tuple(rows), ())
    return ParityReport(kind, limits, report.prompts, tuple(_failures(report)))


def _compare_one(
    reference: Reference, exported: Continues, chat: Sequence[Message], max_tokens: int
) -> PromptParity:
    prompt = reference.prompt_ids(chat)
    own = reference.continue_tokens(prompt, max_tokens=max_tokens, top=1)
    other = exported.continue_tokens(prompt, max_tokens=max_tokens, top=TOP)
    scores = reference.next_logprobs(prompt, other.tokens)
    differences = [
        abs(float(scores[place][token]) - value)
        for place, likely in enumerate(other.logprobs)
        for token, value in likely.items()
    ]
    parts = _parting(own, other)
    return PromptParity(
        prompt=chat[-1].content,
        same_prompt=exported.prompt_ids(chat) == prompt,
        same_text=parts is None,
        reference=reference.text(own.tokens),
        exported=reference.text(other.tokens),
        reference_stopped=own.stopped,
        exported_stopped=other.stopped,
        distance=sum(differences) / len(differences) if differences else 0.0,
        margin=0.0 if parts is None else _margin(scores[parts], other, parts),
    )


def _parting(own: Continuation, other: Continuation) -> int | None:
    """The first place where the two differ, the end of a reply counting as a token; None when they do not."""
    mine, theirs = ([*side.tokens, *([None] if side.stopped else [])] for side in (own, other))
    if mine == theirs:
        return None
    return next(
        (place for place, pair in enumerate(zip(mine, theirs, strict=False)) if pair[0] != pair[1]),
        min(len(mine), len(theirs)),
    )


def _margin(scores: Any, other: Continuation, place: int) -> float:
    """How much likelier the reference holds its own word than the exported model's, at the place they part.

    0 also where llama.cpp ends a reply at a token that both hold likeliest but only it takes for an end.
    """
    chosen = other.tokens[place] if place < len(other.tokens) else other.end
    return math.inf if chosen is None else float(scores.max() - scores[chosen])


def _failures(report: ParityReport) -> list[str]:
    found, limits, count = [], report.limits, len(report.prompts)
    otherwise = [prompt.prompt for prompt in report.prompts if not prompt.same_prompt]
    if otherwise:
        found.append(f"{len(otherwise)} of {count} prompts become other tokens, first {otherwise[0][:60]!r}")
    if not report.distance <= limits.distance:
        found.append(f"likelihoods differ by {report.distance:.3f} nats (limit {limits.distance:g})")
    far = [prompt for prompt in report.prompts if prompt.margin > limits.tie]
    if far:
        found.append(
            f"{len(far)} of {count} replies part from the reference where it is not close (by "
            f"{max(prompt.margin for prompt in far):.2f} nats; limit {limits.tie:g}), "
            f"first at {far[0].prompt[:60]!r}"
        )
    parted = count - report.same_texts
    before, after = report.stop_rates
    # A reply that parted at a tie may end elsewhere; that alone is no fault of the export.
    if abs(before - after) > limits.stops + parted / count:
        found.append(f"{before:.0%} of the replies ended by themselves before, {after:.0%} after")
    return found

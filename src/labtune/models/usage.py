"""What was asked of teacher models, counted."""

from __future__ import annotations

from dataclasses import dataclass

from labtune.errors import RequestError
from labtune.protocols import Reply


@dataclass(slots=True)
class Usage:
    """What was asked so far. Tokens and cost count what was sent, not what the journal knew.

    `unpriced` counts replies whose price is not known; `transient` those `failed` that may have more luck
    another time.
    """

    waiting: int = 0
    requests: int = 0
    cached: int = 0
    failed: int = 0
    transient: int = 0
    prompt_tokens: int = 0
    tokens: int = 0
    cost: float = 0.0
    currency: str = "USD"
    unpriced: int = 0

    def add(self, reply: Reply) -> None:
        """Count a reply."""
        self.requests += 1
        if reply.cached:
            self.cached += 1
            return
        self.prompt_tokens += reply.n_prompt_tokens
        self.tokens += reply.n_tokens
        if reply.cost is None:
            self.unpriced += 1
        else:
            self.cost += reply.cost
            self.currency = reply.currency

    def fail(self, error: RequestError) -> None:
        """Count a request that came to nothing."""
        self.failed += 1
        self.transient += error.transient

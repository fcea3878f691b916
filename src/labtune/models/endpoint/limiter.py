"""How many requests one endpoint gets at once: adaptive, so that its slots stay full and it is not flooded.

The limit starts modest and doubles while the throughput still grows with it. When refusals for overload (429,
503, no answer in time) pile up, it halves, climbs back quickly to just below where that happened, and slowly
from there; `Retry-After` then holds all requests back. Requests and tokens a minute are spaced evenly where
bounds are set. Timing decides when a request is sent, never what it says.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

DEFAULT_MAXIMUM = 256
DEFAULT_START = 32
WORTHWHILE = 1.15
"""Least growth of the throughput for which a doubled limit is kept."""
REMEMBERED = 0.85
"""Share of the limit at the last congestion up to which the way back is quick."""
PATIENCE_EPOCHS = 16
"""Epochs after which a limit that had stopped to grow is tried again."""
EVIDENCE = 0.2
"""Share of refusals among the latest requests from which they count as overload; single ones only wait."""
LATEST = 16
"""Requests over which that share is averaged."""
BURST_S = 6.0
"""Seconds' worth of a minute's budget that may be sent at once."""


class Pace:
    """A budget per minute, spaced evenly with a small burst (a generic cell rate)."""

    def __init__(self, per_minute: float) -> None:
        self._interval = 60.0 / per_minute
        self._burst = max(BURST_S, self._interval)
        self._full_at = 0.0

    def delay(self, now: float, amount: float) -> float:
        """Seconds until `amount` may be sent; more than a burst waits until the burst is free."""
        need = min(amount * self._interval, self._burst)
        return max(0.0, max(self._full_at, now) + need - now - self._burst)

    def take(self, now: float, amount: float) -> None:
        """Count `amount`; a negative one gives back."""
        self._full_at = max(self._full_at, now) + amount * self._interval


@dataclass(slots=True)
class Permit:
    """Leave to send one request; give it back with `done`, `failed` or `congested`."""

    epoch: int
    cuts: int
    started: float
    tokens: int


@dataclass(slots=True)
class _Epoch:
    """The replies to requests that were sent since the limit last moved, and whether it was ever reached."""

    number: int = 0
    full: bool = False
    replies: int = 0
    seconds: float = 0.0


@dataclass(slots=True, eq=False)
class _Waiter:
    tokens: int
    granted: asyncio.Future[Permit]


class Limiter:
    """The gate before one endpoint; belongs to one event loop.

    Args:
        maximum: most requests in flight; None = found by trying, up to 256.
        rpm: most requests a minute; None = no bound.
        tpm: most tokens a minute; None = no bound.
        clock: seconds that only grow (default: the running loop's).
        on_cut: told (limit, reason) when congestion halves the limit.
    """

    def __init__(
        self,
        maximum: int | None = None,
        *,
        rpm: int | None = None,
        tpm: int | None = None,
        clock: Callable[[], float] | None = None,
        on_cut: Callable[[int, str], None] | None = None,
    ) -> None:
        self.maximum = maximum or DEFAULT_MAXIMUM
        # Whoever states the number of slots knows it: a quarter of it is modest.
        self.limit = min(self.maximum, max(DEFAULT_START, (maximum or 0) // 4))
        self.in_flight = 0
        self._clock = clock or asyncio.get_running_loop().time
        self._on_cut = on_cut
        self._measures = maximum is None
        self._pace = [(Pace(rpm), False)] if rpm else []
        self._pace += [(Pace(tpm), True)] if tpm else []
        self._waiting: deque[_Waiter] = deque()
        self._resume_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._epoch = _Epoch()
        self._cuts = 0
        self._growth: Literal["quick", "slow", "none"] = "quick"
        self._ceiling = self.maximum
        self._throughput = 0.0
        self._idle_epochs = 0
        # Nothing is known of the endpoint yet, so the first refusal counts.
        self._refusals = EVIDENCE

    async def acquire(self, tokens: int, *, again: bool = False) -> Permit:
        """Wait for leave to send a request of about `tokens` tokens; a retry (`again`) goes first."""
        if not self._waiting and self.in_flight < self.limit and self._delay(tokens) <= 0:
            return self._grant(tokens)
        waiter = _Waiter(tokens, asyncio.get_running_loop().create_future())
        if again:
            self._waiting.appendleft(waiter)
        else:
            self._waiting.append(waiter)
        self._pump()
        try:
            return await waiter.granted
        except asyncio.CancelledError:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            elif waiter.granted.done() and not waiter.granted.cancelled():
                self.in_flight -= 1
            self._pump()
            raise

    def bound(self, maximum: int) -> None:
        """Never more than `maximum` at once: the endpoint said how many it works on."""
        self.maximum = min(self.maximum, maximum)
        self._ceiling = min(self._ceiling, self.maximum)
        if self.limit > self.maximum:
            self._move(self.maximum)

    def done(self, permit: Permit, tokens: int) -> None:
        """A reply came; `tokens` were really used. The limit may grow."""
        self._settle(permit, tokens)
        self._refusals -= self._refusals / LATEST
        if permit.epoch == self._epoch.number:
            self._learn(self._clock() - permit.started)
        self._pump()

    def failed(self, permit: Permit) -> None:
        """The request ended without a reply, for reasons that have nothing to do with load."""
        self._settle(permit, 0)
        self._pump()

    def congested(self, permit: Permit, reason: str, *, retry_after_s: float = 0.0) -> None:
        """The endpoint turned a request away or did not answer in time.

        A single refusal among many replies is the request's own affair. When they pile up, the limit is
        halved, once for all requests that were under way, and all wait as long as the endpoint wishes.

        Args:
            permit: of the request that was turned away.
            reason: for people, such as "429".
            retry_after_s: seconds in which the endpoint wants no request.
        """
        self._settle(permit, 0)
        if permit.cuts == self._cuts:
            self._refusals += (1 - self._refusals) / LATEST
            if self._refusals >= EVIDENCE:
                self._cut(reason)
        if retry_after_s > 0 and permit.cuts < self._cuts:
            self._resume_at = max(self._resume_at, self._clock() + retry_after_s)
        self._pump()

    def _cut(self, reason: str) -> None:
        self._cuts += 1
        self._refusals = EVIDENCE / 2
        self._ceiling = max(1, int(self.limit * REMEMBERED))
        self._growth, self._throughput = "quick", 0.0
        self._move(max(1, self.limit // 2))
        if self._on_cut is not None:
            self._on_cut(self.limit, reason)

    def _learn(self, seconds: float) -> None:
        epoch = self._epoch
        epoch.replies += 1
        epoch.seconds += seconds
        if self._growth == "slow":
            if epoch.replies >= self.limit:
                self._move(min(self.limit + 1, self.maximum))
        elif self._growth == "none":
            if epoch.replies >= self.limit:
                self._wait_for_better_times()
        elif epoch.full and epoch.replies >= (self.limit if self._measures else self.limit // 4):
            self._grow()

    def _grow(self) -> None:
        throughput = self.limit * self._epoch.replies / max(self._epoch.seconds, 1e-9)
        if self._measures and throughput < self._throughput * WORTHWHILE:
            # Twice as many gave no more: the endpoint only queues them, and half as many filled its slots.
            self._growth, self._idle_epochs = "none", 0
            self._move(max(1, self.limit // 2))
            return
        self._throughput = throughput
        goal = min(self.limit * 2, self._ceiling)
        if goal <= self.limit:
            self._growth, goal = "slow", self.limit
        self._move(goal)

    def _wait_for_better_times(self) -> None:
        self._idle_epochs += 1
        if self._idle_epochs >= PATIENCE_EPOCHS:
            self._growth, self._throughput = "quick", 0.0
        self._move(self.limit)

    def _move(self, limit: int) -> None:
        self.limit = limit
        self._epoch = _Epoch(self._epoch.number + 1)

    def _delay(self, tokens: int) -> float:
        if not self._pace and not self._resume_at:
            return 0.0
        now = self._clock()
        delay = self._resume_at - now
        if delay <= 0:
            self._resume_at = delay = 0.0
        for pace, by_tokens in self._pace:
            delay = max(delay, pace.delay(now, tokens if by_tokens else 1))
        return delay

    def _grant(self, tokens: int) -> Permit:
        now = self._clock()
        for pace, by_tokens in self._pace:
            pace.take(now, tokens if by_tokens else 1)
        self.in_flight += 1
        if self.in_flight >= self.limit:
            self._epoch.full = True
        return Permit(self._epoch.number, self._cuts, now, tokens)

    def _settle(self, permit: Permit, tokens: int) -> None:
        self.in_flight -= 1
        for pace, by_tokens in self._pace:
            if by_tokens:
                pace.take(self._clock(), tokens - permit.tokens)

    def _pump(self) -> None:
        while self._waiting and self.in_flight < self.limit:
            waiter = self._waiting[0]
            if waiter.granted.done():
                self._waiting.popleft()
                continue
            delay = self._delay(waiter.tokens)
            if delay > 0:
                self._wake_in(delay)
                return
            self._waiting.popleft()
            waiter.granted.set_result(self._grant(waiter.tokens))

    def _wake_in(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_later(seconds, self._pump)

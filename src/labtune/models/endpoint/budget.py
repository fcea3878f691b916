"""What a run may spend, and what it has spent: requests, tokens, money, time."""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from labtune.errors import BudgetReached, ConfigError
from labtune.models.endpoint.prices import Price

T = TypeVar("T")

_PART = re.compile(r"\s*([$€£])?\s*(\d+(?:[.,]\d+)?)\s*([A-Za-z]*)\s*")
_TIME = re.compile(
    r"(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m(?:in)?)?(?:(\d+(?:\.\d+)?)s)?"
)
_SECONDS = (86_400.0, 3_600.0, 60.0, 1.0)
_SYMBOLS = {"$": "USD", "€": "EUR", "£": "GBP"}
_TOKENS = {"tok": 1, "ktok": 1_000, "mtok": 1_000_000, "gtok": 1_000_000_000}


@dataclass(frozen=True, slots=True)
class Budget:
    """Bounds; None = no bound. `tokens` counts prompt and completion, `seconds` from the meter's start."""

    money: float | None = None
    currency: str = "USD"
    seconds: float | None = None
    tokens: int | None = None

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read `5USD|2h|1Mtok`: money, time and tokens in any order, each at most once, also with commas.

        Raises:
            ConfigError: a part is none of these, or comes twice.
        """
        found: dict[str, float | int | str] = {}
        for part in re.split(r"[|;]|,(?!\d)", text):
            for name, value in _read(part, text).items():
                if name in found:
                    raise ConfigError(f"--budget {text!r} bounds {name} twice")
                found[name] = value
        return cls(**found)  # type: ignore[arg-type]

    def __str__(self) -> str:
        parts = []
        if self.money is not None:
            parts.append(f"{self.money:g} {self.currency}")
        if self.seconds is not None:
            parts.append(f"{self.seconds:g} s")
        if self.tokens is not None:
            parts.append(f"{self.tokens:,} tokens")
        return ", ".join(parts) or "no bound"


def _read(part: str, whole: str) -> dict[str, float | int | str]:
    compact = part.strip().replace(" ", "")
    if compact and (match := _TIME.fullmatch(compact.lower())):
        return {
            "seconds": sum(float(n or 0) * unit for n, unit in zip(match.groups(), _SECONDS, strict=True))
        }
    match = _PART.fullmatch(part)
    if match is not None:
        symbol, number, unit = match.groups()
        amount = float(number.replace(",", "."))
        scale = _TOKENS.get(unit.lower().replace("tokens", "tok").replace("toks", "tok"))
        if scale is not None and not symbol:
            return {"tokens": round(amount * scale)}
        currency = _SYMBOLS.get(symbol) if symbol else unit.upper()
        if currency is not None and re.fullmatch("[A-Z]{3}", currency):
            return {"money": amount, "currency": currency}
    raise ConfigError(
        f"--budget {whole!r}: {part.strip()!r} is neither money, time nor tokens",
        hint="--budget '5USD|2h|1Mtok'",
    )


@dataclass(slots=True)
class Hold:
    """What one request may cost at most, until it is settled."""

    tokens: int
    money: float


@dataclass(frozen=True, slots=True)
class Spent:
    """What was spent so far.

    `money` counts only requests whose price is known; `n_unpriced` tells how many are not.
    """

    n_requests: int
    n_prompt_tokens: int
    n_tokens: int
    money: float
    currency: str
    n_unpriced: int
    seconds: float


class Meter:
    """Counts what is spent and refuses what would exceed the budget; one for all endpoints of a run.

    Args:
        budget: None = count only.
        clock: seconds that only grow.
    """

    def __init__(self, budget: Budget | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.budget = budget or Budget()
        self._clock = clock
        self._start = clock()
        self._n_requests = self._n_prompt = self._n_completion = self._n_unpriced = 0
        self._money = self._held_money = 0.0
        self._held_tokens = 0
        self._currency: str | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()

    def accept(self, price: Price | None, model: str) -> None:
        """Say before the first request whether the budget can be kept with this price.

        Raises:
            ConfigError: the budget bounds money, and the price is unknown or in another currency.
        """
        currency = self.budget.currency if self.budget.money is not None else self._currency
        if price is None:
            if self.budget.money is not None:
                raise ConfigError(
                    f"the price of {model} is unknown, so a budget of {self.budget.money:g} "
                    f"{self.budget.currency} cannot be kept",
                    hint="set teacher.prices: {input: ..., output: ...} per million tokens (0 for a server "
                    "of your own), or bound tokens or time",
                )
            return
        if currency is not None and price.currency != currency:
            raise ConfigError(f"{model} is paid in {price.currency}, the budget counts {currency}")
        self._currency = price.currency

    async def reserve(self, price: Price | None, prompt_tokens: int, max_tokens: int) -> Hold:
        """Hold what a request may cost at most; waits while others hold what may come back.

        Raises:
            BudgetReached: even when all that is held comes back it does not fit, or the time is over.
        """
        tokens = prompt_tokens + max_tokens
        money = price.of(prompt_tokens, max_tokens) if price is not None else 0.0
        waited = False
        try:
            while True:
                self.check_time()
                if not self._exceeds(tokens + self._held_tokens, money + self._held_money):
                    self._held_tokens += tokens
                    self._held_money += money
                    return Hold(tokens, money)
                if self._exceeds(tokens, money):
                    raise self._reached(tokens, money)
                await self._change(first=waited)
                waited = True
        finally:
            if waited:
                # What is left over may suit the next.
                self._wake()

    async def within(self, work: Awaitable[T]) -> T:
        """The result of `work`; when the time is over before it is there, raise BudgetReached."""
        if self.budget.seconds is None:
            return await work
        try:
            async with asyncio.timeout(max(0.0, self._start + self.budget.seconds - self._clock())):
                return await work
        except TimeoutError:
            self.check_time()
            raise

    async def _change(self, *, first: bool) -> None:
        waiter = asyncio.get_running_loop().create_future()
        if first:
            self._waiting.appendleft(waiter)
        else:
            self._waiting.append(waiter)
        try:
            await waiter
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    def _wake(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def settle(self, hold: Hold, price: Price | None, prompt_tokens: int, tokens: int) -> None:
        """Replace a hold by what was really used."""
        self._n_requests += 1
        self._n_prompt += prompt_tokens
        self._n_completion += tokens
        if price is None:
            self._n_unpriced += 1
        else:
            self._money += price.of(prompt_tokens, tokens)
        self.release(hold)

    def release(self, hold: Hold) -> None:
        """Give a hold back: the request cost nothing."""
        self._held_tokens -= hold.tokens
        self._held_money -= hold.money
        if self._held_tokens == 0:
            self._held_money = 0.0
        self._wake()

    def check_time(self) -> None:
        """Raise BudgetReached when the time is over."""
        if self.budget.seconds is not None and self._clock() - self._start >= self.budget.seconds:
            raise BudgetReached(
                f"the budget of {self.budget.seconds:g} s is spent",
                hint="run again to go on; replies are kept",
            )

    @property
    def spent(self) -> Spent:
        """The account so far."""
        return Spent(
            self._n_requests,
            self._n_prompt,
            self._n_completion,
            self._money,
            self._currency or self.budget.currency,
            self._n_unpriced,
            self._clock() - self._start,
        )

    def _exceeds(self, tokens: int, money: float) -> bool:
        budget = self.budget
        used = self._n_prompt + self._n_completion
        return (budget.tokens is not None and used + tokens > budget.tokens) or (
            budget.money is not None and self._money + money > budget.money
        )

    def _reached(self, tokens: int, money: float) -> BudgetReached:
        used = self._n_prompt + self._n_completion
        parts = []
        if self.budget.tokens is not None and used + tokens > self.budget.tokens:
            parts.append(f"{used:,} of {self.budget.tokens:,} tokens are used, the next may take {tokens:,}")
        if self.budget.money is not None and self._money + money > self.budget.money:
            parts.append(
                f"{self._money:.4f} of {self.budget.money:g} {self.budget.currency} are spent, "
                f"the next may cost {money:.4f}"
            )
        return BudgetReached(
            f"the budget is reached: {'; '.join(parts)}",
            hint="run again with a larger budget to go on; replies are kept",
        )

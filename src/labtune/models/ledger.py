"""One journal and one budget for many workers: they ask, the process beside the files answers.

SQLite lies on the disk of the machine that drives a run, so workers elsewhere do not open it. A `Ledger`
does, and is called by them (see `protocols.Host`): it hands out known replies, lets one worker ask what is
not known yet, and keeps its reply before anyone uses it. A lost worker loses what it was asking, no more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from labtune.errors import RequestError
from labtune.models.endpoint.budget import Budget, Hold, Meter
from labtune.models.endpoint.prices import Price
from labtune.models.journal import Journal, entry_of, request_json, request_key
from labtune.models.journal_file import Entry
from labtune.models.usage import Usage
from labtune.protocols import AsyncChatModel, ChatRequest, Host, Reply


@dataclass(slots=True)
class _Desk:
    """What one worker has open: the requests that it asks now, and what it holds of the budget."""

    claims: set[str] = field(default_factory=set)
    holds: dict[int, Hold] = field(default_factory=dict)


class Ledger:
    """Journal, claims and budget of a run. Lives in one event loop; workers are known by their numbers."""

    def __init__(self, path: Path, budget: str = "") -> None:
        """Open the journal.

        Args:
            path: its file.
            budget: as `Budget.parse` reads it; empty = no bound.
        """
        self._journal = Journal(path)
        self._meter = Meter(Budget.parse(budget) if budget else None)
        self._usage = Usage()
        self._desks: dict[int, _Desk] = {}
        self._claims: dict[str, asyncio.Future[None]] = {}
        self._holds = 0

    def enter(self, worker: int) -> None:
        """A worker begins, for the first time or in place of one that was lost: nothing is open any more."""
        desk = self._desks.get(worker)
        if desk is not None:
            for key in list(desk.claims):
                self._free(worker, key)
            for hold in desk.holds.values():
                self._meter.release(hold)
        self._desks[worker] = _Desk()

    async def claim(self, worker: int, key: str) -> Reply | None:
        """The reply to a request; None = nobody has it, and this worker is to ask.

        Waits while another worker is asking.

        Raises:
            RequestError: it was asked before and failed for good.
            DataError: the journal is damaged.
        """
        while (reply := self._lookup(key)) is None:
            asking = self._claims.get(key)
            if asking is None:
                self._claims[key] = asyncio.get_running_loop().create_future()
                self._desk(worker).claims.add(key)
                return None
            await asyncio.shield(asking)
        return reply

    async def keep(self, worker: int, entry: Entry) -> Reply | None:
        """Keep what a claimed request came to; another reply when one was kept by another run first.

        Raises:
            DataError: the journal cannot be written.
            RequestError: another run kept a failure.
        """
        try:
            new = await self._journal.record(entry)
        finally:
            self._free(worker, entry.key)
        self._count(entry)
        return None if new else self._journal.lookup(entry.key)

    def abandon(self, worker: int, key: str, transient: bool) -> None:
        """Give a claim back: nothing came of it that could be kept."""
        self._usage.failed += transient
        self._usage.transient += transient
        self._free(worker, key)

    async def reserve(
        self, worker: int, price: Price | None, prompt_tokens: int, max_tokens: int
    ) -> tuple[int, Hold]:
        """Hold what a request may cost at most; see `Meter.reserve`."""
        hold = await self._meter.reserve(price, prompt_tokens, max_tokens)
        self._holds += 1
        self._desk(worker).holds[self._holds] = hold
        return self._holds, hold

    def settle(self, worker: int, number: int, used: tuple[Price | None, int, int] | None) -> None:
        """Replace a hold by what was used (price, prompt tokens, tokens); None = nothing."""
        hold = self._desk(worker).holds.pop(number, None)
        if hold is None:
            return
        if used is None:
            self._meter.release(hold)
        else:
            self._meter.settle(hold, *used)

    def usage(self) -> Usage:
        """What all workers together asked, since the ledger was opened."""
        return replace(self._usage)

    def close(self) -> None:
        """Write what is waiting and close the journal."""
        self._journal.close()

    def _lookup(self, key: str) -> Reply | None:
        try:
            reply = self._journal.lookup(key)
        except RequestError as error:
            self._usage.fail(error)
            raise
        if reply is not None:
            self._usage.add(reply)
        return reply

    def _count(self, entry: Entry) -> None:
        if entry.error is not None:
            self._usage.failed += 1
        else:
            self._usage.add(entry.reply)

    def _desk(self, worker: int) -> _Desk:
        return self._desks.setdefault(worker, _Desk())

    def _free(self, worker: int, key: str) -> None:
        self._desk(worker).claims.discard(key)
        asking = self._claims.pop(key, None)
        if asking is not None and not asking.done():
            asking.set_result(None)


class LedgerModel:
    """A chat model in a worker, whose replies the ledger keeps."""

    def __init__(self, model: AsyncChatModel, ledger: Host, worker: int) -> None:
        self._model = model
        self._ledger = ledger
        self._worker = worker

    @property
    def name(self) -> str:
        """The identity of the model behind, which is part of each key."""
        return self._model.name

    async def chat(self, request: ChatRequest) -> Reply:
        """The ledger's reply, or the model's, kept before it is given.

        Raises:
            RequestError: this request failed, now or when it was asked.
            DataError: the journal cannot be read or written.
            EndpointError, BudgetReached: from the model; nothing is kept.
            EngineError: the ledger is lost.
        """
        key = request_key(self.name, request)
        reply: Reply | None = await self._call("claim", self._worker, key)
        return reply if reply is not None else await self._ask(key, request)

    async def _ask(self, key: str, request: ChatRequest) -> Reply:
        began = time.perf_counter()
        outcome: Reply | RequestError | None = None
        transient = False
        try:
            outcome = await self._model.chat(request)
        except RequestError as error:
            transient = error.transient
            if transient:
                raise
            outcome = error
        finally:
            if outcome is None:
                self._ledger.call("abandon", self._worker, key, transient)
        seconds, asked = time.perf_counter() - began, request_json(request)
        entry = entry_of(key, self.name, asked, outcome, seconds=seconds, now=time.time())
        other: Reply | None = await self._call("keep", self._worker, entry)
        if other is not None:
            return other
        if isinstance(outcome, RequestError):
            raise outcome
        return entry.reply

    async def _call(self, method: str, *arguments: object) -> Any:
        return await asyncio.wrap_future(self._ledger.call(method, *arguments))


class _LentHold(Hold):
    """A part of the ledger's budget."""

    __slots__ = ("number",)
    number: int


class LedgerMeter(Meter):
    """A worker's share of the run's budget: every request is reserved with the ledger."""

    def __init__(
        self, ledger: Host, worker: int, budget: Budget, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(budget, clock=clock)
        self._ledger = ledger
        self._worker = worker

    async def reserve(self, price: Price | None, prompt_tokens: int, max_tokens: int) -> Hold:
        """Hold what a request may cost at most; see `Meter.reserve`."""
        call = self._ledger.call("reserve", self._worker, price, prompt_tokens, max_tokens)
        number, hold = await asyncio.wrap_future(call)
        lent = _LentHold(hold.tokens, hold.money)
        lent.number = number
        return lent

    def settle(self, hold: Hold, price: Price | None, prompt_tokens: int, tokens: int) -> None:
        """Replace a hold by what was really used."""
        assert isinstance(hold, _LentHold)
        self._ledger.call("settle", self._worker, hold.number, (price, prompt_tokens, tokens))

    def release(self, hold: Hold) -> None:
        """Give a hold back: the request cost nothing."""
        assert isinstance(hold, _LentHold)
        self._ledger.call("settle", self._worker, hold.number, None)

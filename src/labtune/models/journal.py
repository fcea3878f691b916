"""The journal: every reply of a model behind an endpoint is kept, so that nothing is asked or paid for twice.

A request's key is made of the model's identity, the messages, the sampling, the schema and the index; where
the model is reached plays no part. A reply is handed on only after its transaction was committed, so that a
process that dies at any moment loses what was in flight and nothing else.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from labtune.errors import LabtuneError, RequestError
from labtune.models.journal_file import (
    INSERT,
    KEY_BYTES,
    WAIT_S,
    Entry,
    connect,
    is_busy,
    journal_error,
    storable,
)
from labtune.protocols import AsyncChatModel, ChatRequest, Reply

KEY_VERSION = 1
DAY_S = 86_400.0
LARGEST_TOUCH = 1024
BUSY_PAUSE_S = 0.002
TOGETHER_S = 0.002
"""Replies that come this soon after a commit wait for the end of the event loop's iteration, to share one."""
CHECKPOINT_S = 5.0
"""A power cut costs at most the replies of about this time; the end of a process costs none."""
RESTART_BYTES = 128 << 20
"""Size of the write-ahead log from which on it begins anew, for which writing must pause shortly."""
_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))
_FOUND = (
    "SELECT text, stopped, prompt_tokens, tokens, served, finish, cost, currency, latency_s, "
    "used, error, hint FROM replies WHERE key = ?"
)


def request_key(model: str, request: ChatRequest) -> str:
    """32 hex digits that stand for a request to `model`; the order of a schema's keys plays no part."""
    return _key(model, request_json(request))


def request_json(request: ChatRequest) -> str:
    """The canonical JSON of a request."""
    sampling = request.sampling
    return _ENCODER.encode(
        {
            "messages": [{"role": message.role, "content": message.content} for message in request.messages],
            "sampling": {
                "max_tokens": sampling.max_tokens,
                "temperature": float(sampling.temperature),
                "top_p": float(sampling.top_p),
                "seed": sampling.seed,
            },
            "schema": request.schema,
            "index": request.index,
        }
    )


def _key(model: str, request: str) -> str:
    digest = hashlib.blake2b(digest_size=KEY_BYTES)
    digest.update(f"{KEY_VERSION}\0{model}\0{request}".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


class Journal:
    """Replies by key. One event loop at a time uses it; several processes may share the file.

    Commits happen in the event loop, where replies are frequent one for all of an iteration: they only hand
    pages to the system (about 0.1 ms). What waits for the disk, the checkpoint, has a thread of its own.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        """Open the journal, making it when it is not there.

        Args:
            path: the database file.
            clock: Unix time.

        Raises:
            DataError: the file is damaged or cannot be used.
        """
        self.path = path
        self.clock = clock
        self.flights: dict[str, asyncio.Future[None]] = {}
        """Requests that are being asked now; each is set when its request has ended in any way."""
        # One connection for all: what another wrote would empty its cache of pages.
        self._connection = connect(path)
        self._connection.execute("PRAGMA wal_autocheckpoint=0")
        self._wait_at_most(0.0)
        self._pending: list[tuple[Entry, asyncio.Future[bool]]] = []
        self._touched: list[tuple[float, bytes]] = []
        self._scheduled_in: asyncio.AbstractEventLoop | None = None
        self._busy_since: float | None = None
        self._committed = time.monotonic()
        self._broken: LabtuneError | None = None
        self._wal = path.with_name(path.name + "-wal")
        self._checkpointer: threading.Thread | None = None
        self._checkpointed = time.monotonic()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write what is waiting, whoever waited for it, and close the file."""
        if self._checkpointer is not None:
            self._checkpointer.join()
        if self._pending or self._touched:
            self._wait_at_most(WAIT_S)
            self._flush()
        self._connection.close()

    def lookup(self, key: str) -> Reply | None:
        """The reply to the request of this key, if it was ever asked.

        Raises:
            RequestError: the request was asked and failed for good.
            DataError: the journal is damaged.
        """
        digest = bytes.fromhex(key)
        row = self._find(digest)
        if row is None:
            return None
        text, stopped, n_prompt, n_tokens, served, finish, cost, currency, latency, used, failure, hint = row
        now = self.clock()
        if now - used > DAY_S:
            self._touch(now, digest)
        if failure is not None:
            raise RequestError(failure, hint=hint)
        return Reply(
            text, bool(stopped), n_prompt, n_tokens, True, served, finish, cost, currency, latency, key
        )

    def _find(self, digest: bytes) -> tuple[Any, ...] | None:
        try:
            try:
                row: tuple[Any, ...] | None = self._connection.execute(_FOUND, (digest,)).fetchone()
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
                # Rare: another process mends or resets the log. Readers have to wait for that.
                self._wait_at_most(WAIT_S)
                row = self._connection.execute(_FOUND, (digest,)).fetchone()
                self._wait_at_most(0.0)
        except sqlite3.Error as error:
            raise journal_error(self.path, error) from error
        return row

    def _wait_at_most(self, seconds: float) -> None:
        """How long SQLite sleeps while another process holds the journal; the event loop must not."""
        self._connection.execute(f"PRAGMA busy_timeout={int(seconds * 1000)}")

    async def record(self, entry: Entry) -> bool:
        """Keep an entry for good. False when another process kept one for the same request first.

        Raises:
            DataError: the journal cannot be written.
        """
        if self._broken is not None:
            raise self._broken
        if not self._pending and time.monotonic() - self._committed > TOGETHER_S:
            # Replies are rare: alone at once costs less than two more rounds of the event loop.
            new = self._commit_alone(entry)
            if new is not None:
                return new
        loop = asyncio.get_running_loop()
        done: asyncio.Future[bool] = loop.create_future()
        self._pending.append((entry, done))
        if self._scheduled_in is not loop:
            self._scheduled_in = loop
            loop.call_soon(self._flush)
        return await done

    def _commit_alone(self, entry: Entry) -> bool | None:
        """Whether it was new; None while another process writes."""
        try:
            new = self._connection.execute(INSERT, entry.row()).rowcount == 1
        except sqlite3.Error as error:
            if is_busy(error):
                return None
            self._broken = journal_error(self.path, error)
            raise self._broken from error
        self._committed = time.monotonic()
        self._checkpoint_when_due()
        return new

    def _touch(self, now: float, key: bytes) -> None:
        self._touched.append((now, key))
        if len(self._touched) >= LARGEST_TOUCH and self._scheduled_in is None:
            self._flush()

    def _flush(self) -> None:
        """Commit what is pending and wake who waits; while another process writes, come back later."""
        loop, self._scheduled_in = self._scheduled_in, None
        try:
            new = _commit(self._connection, [entry for entry, _ in self._pending], self._touched)
        except sqlite3.Error as error:
            if loop is not None and self._may_wait(error):
                self._scheduled_in = loop
                loop.call_later(BUSY_PAUSE_S, self._flush)
                return
            self._broken = journal_error(self.path, error)
            new = []
        self._committed = time.monotonic()
        pending, self._pending = self._pending, []
        self._touched = []
        self._busy_since = None
        for number, (_, done) in enumerate(pending):
            if done.done():
                continue
            if self._broken is not None:
                done.set_exception(self._broken)
            else:
                done.set_result(new[number])
        self._checkpoint_when_due()

    def _may_wait(self, error: sqlite3.Error) -> bool:
        if not is_busy(error):
            return False
        now = time.monotonic()
        self._busy_since = self._busy_since or now
        return now - self._busy_since < WAIT_S

    def _checkpoint_when_due(self) -> None:
        if self._checkpointer is not None and self._checkpointer.is_alive():
            return
        if time.monotonic() - self._checkpointed < CHECKPOINT_S:
            return
        self._checkpointed = time.monotonic()
        self._checkpointer = threading.Thread(target=self._checkpoint, name="labtune-journal", daemon=True)
        self._checkpointer.start()

    def _checkpoint(self) -> None:
        """Bring what was committed into the database file and onto the disk."""
        try:
            with closing(connect(self.path)) as connection:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
                if self._wal.exists() and self._wal.stat().st_size > RESTART_BYTES:
                    # It waits for readers while it keeps writers out, so it must not wait long.
                    connection.execute("PRAGMA busy_timeout=200")
                    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            if not is_busy(error):
                self._broken = journal_error(self.path, error)
        except LabtuneError as error:
            self._broken = error


def _commit(
    connection: sqlite3.Connection, entries: Sequence[Entry], touched: Sequence[tuple[float, bytes]]
) -> list[bool]:
    """One transaction for all; for each entry whether it was new."""
    rows = [entry.row() for entry in entries]
    connection.execute("BEGIN IMMEDIATE")
    try:
        new = [connection.execute(INSERT, row).rowcount == 1 for row in rows]
        if touched:
            connection.executemany("UPDATE replies SET used = ? WHERE key = ?", touched)
        connection.execute("COMMIT")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return new


def entry_of(
    key: str, model: str, asked: str, outcome: Reply | RequestError, *, seconds: float, now: float
) -> Entry:
    """What is kept of a request that took `seconds`; `now` is Unix time."""
    reply = Reply("", False, 0, 0, finish="error") if isinstance(outcome, RequestError) else outcome
    told = replace(
        reply,
        text=storable(reply.text),
        model=storable(reply.model),
        latency_s=reply.latency_s or seconds,
        key=key,
    )
    error, hint = (outcome.message, outcome.hint) if isinstance(outcome, RequestError) else (None, None)
    return Entry(key, model, asked, told, now, now, error, hint)


class JournaledModel:
    """A chat model whose replies are kept in a journal. Equal requests in flight are asked once."""

    def __init__(self, model: AsyncChatModel, journal: Journal) -> None:
        self._model = model
        self._journal = journal

    @property
    def name(self) -> str:
        """The identity of the model behind, which is part of each key."""
        return self._model.name

    async def chat(self, request: ChatRequest) -> Reply:
        """The journal's reply, or the model's, kept before it is given.

        Requests that fail for good are kept too and fail again without being asked.

        Raises:
            RequestError: this request failed, now or when it was asked.
            DataError: the journal cannot be read or written.
            EndpointError, BudgetReached: from the model; nothing is kept.
        """
        asked = request_json(request)
        key = _key(self.name, asked)
        flights = self._journal.flights
        while (reply := self._journal.lookup(key)) is None:
            flight = flights.get(key)
            if flight is None:
                return await self._ask(key, asked, request)
            # Whatever became of it, the next look-up tells; a cancelled waiter must not cancel the flight.
            await asyncio.shield(flight)
        return reply

    async def _ask(self, key: str, asked: str, request: ChatRequest) -> Reply:
        flight = asyncio.get_running_loop().create_future()
        self._journal.flights[key] = flight
        try:
            return await self._ask_and_keep(key, asked, request)
        finally:
            del self._journal.flights[key]
            flight.set_result(None)

    async def _ask_and_keep(self, key: str, asked: str, request: ChatRequest) -> Reply:
        began = time.perf_counter()
        outcome: Reply | RequestError
        try:
            outcome = await self._model.chat(request)
        except RequestError as error:
            if error.transient:
                raise
            outcome = error
        seconds, now = time.perf_counter() - began, self._journal.clock()
        entry = entry_of(key, self.name, asked, outcome, seconds=seconds, now=now)
        if not await self._journal.record(entry):
            # Another process had its reply kept first: all runs shall see the same.
            return self._journal.lookup(key) or entry.reply
        if isinstance(outcome, RequestError):
            raise outcome
        return entry.reply

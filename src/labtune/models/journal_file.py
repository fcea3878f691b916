"""The journal's file: one SQLite database, its rows, and what can be asked of it besides single replies."""

from __future__ import annotations

import json
import sqlite3
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from labtune.errors import DataError, LabtuneError
from labtune.protocols import Reply

JOURNAL_FILE = "journal.sqlite"
"""Name of a lab's journal in its cache folder."""
VERSION = 1
APPLICATION_ID = 0x6C61624A
KEY_BYTES = 16
LARGEST_COUNT = 2**62
WAIT_S = 60.0
"""How long another process may hold the journal before that is an error."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS replies (
  id INTEGER PRIMARY KEY,
  key BLOB NOT NULL UNIQUE,
  model TEXT NOT NULL,
  served TEXT NOT NULL,
  request BLOB NOT NULL,
  text TEXT NOT NULL,
  stopped INTEGER NOT NULL,
  finish TEXT NOT NULL,
  prompt_tokens INTEGER NOT NULL,
  tokens INTEGER NOT NULL,
  cost REAL,
  currency TEXT NOT NULL,
  latency_s REAL NOT NULL,
  created REAL NOT NULL,
  used REAL NOT NULL,
  error TEXT,
  hint TEXT
)"""
COLUMNS = (
    "key, model, served, request, text, stopped, finish, prompt_tokens, tokens, cost, currency, latency_s, "
    "created, used, error, hint"
)
INSERT = f"INSERT OR IGNORE INTO replies ({COLUMNS}) VALUES ({', '.join('?' * 16)})"
SELECT = f"SELECT {COLUMNS} FROM replies"
DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})
ISO = "%Y-%m-%dT%H:%M:%S+00:00"
BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


@dataclass(frozen=True, slots=True)
class Entry:
    """One request and what came of it: a reply, or an error that would come again.

    Attributes:
        key: 32 hex digits, see `journal.request_key`.
        model: identity of the model that was asked.
        request: canonical JSON of messages, sampling, schema and index.
        created: Unix time of the reply.
        used: Unix time of the last use, to the day.
    """

    key: str
    model: str
    request: str
    reply: Reply
    created: float
    used: float
    error: str | None = None
    hint: str | None = None

    def row(self) -> tuple[Any, ...]:
        """The values of `COLUMNS`, none of which SQLite can refuse; the request is compressed."""
        reply = self.reply
        return (
            bytes.fromhex(self.key),
            storable(self.model),
            storable(reply.model),
            _compressed(self.request.encode("utf-8", "surrogatepass")),
            storable(reply.text),
            reply.stopped,
            storable(reply.finish),
            min(reply.n_prompt_tokens, LARGEST_COUNT),
            min(reply.n_tokens, LARGEST_COUNT),
            reply.cost,
            reply.currency,
            reply.latency_s,
            self.created,
            self.used,
            self.error and storable(self.error),
            self.hint and storable(self.hint),
        )

    def document(self) -> dict[str, Any]:
        """What `labtune journal show` and `export` give, ready for JSON."""
        reply = self.reply
        return {
            "key": self.key,
            "model": self.model,
            "served_model": reply.model,
            **json.loads(self.request),
            "reply": reply.text,
            "stopped": reply.stopped,
            "finish": reply.finish,
            "prompt_tokens": reply.n_prompt_tokens,
            "tokens": reply.n_tokens,
            "cost": reply.cost,
            "currency": reply.currency,
            "latency_s": reply.latency_s,
            "created": timestamp(self.created),
            "used": timestamp(self.used),
            "error": self.error,
        }


def _compressed(request: bytes) -> bytes:
    """For `zlib.decompress`; the usual state of 256 KiB would drive all else out of the CPU's cache."""
    deflate = zlib.compressobj(level=1, wbits=12, memLevel=4)
    return deflate.compress(request) + deflate.flush()


def storable(text: str) -> str:
    """Lone surrogates, which JSON can smuggle in, cannot be written as UTF-8 by anybody: "?" instead."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def timestamp(seconds: float) -> str:
    """A Unix time as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def entry_of(row: Sequence[Any]) -> Entry:
    """The entry of a row of `SELECT`."""
    key, model, served, request, text, stopped, finish, n_prompt, n_tokens, cost, currency, latency = row[:12]
    digest = key.hex()
    reply = Reply(
        text, bool(stopped), n_prompt, n_tokens, True, served, finish, cost, currency, latency, digest
    )
    plain = zlib.decompress(request).decode("utf-8", "surrogatepass")
    return Entry(digest, model, plain, reply, *row[12:])


def connect(path: Path) -> sqlite3.Connection:
    """Open the journal, making it when it is not there. Transactions are the caller's (autocommit).

    Whatever was committed survives the end of the process at any moment; a power cut can cost what was
    written since the last checkpoint, never the rest.

    Raises:
        DataError: the file is damaged, no journal, of a newer labtune, or cannot be opened.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise journal_error(path, error) from error
    try:
        _prepare(connection, path)
    except sqlite3.Error as error:
        connection.close()
        raise journal_error(path, error) from error
    except LabtuneError:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("BEGIN")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    connection.execute("COMMIT")
    if application != APPLICATION_ID and (tables or version):
        raise DataError(f"{path} is another program's database, not a journal", hint=f"move {path} away")
    if version > VERSION:
        raise DataError(f"the journal {path} was written by a newer labtune", hint="pip install -U labtune")
    mode = _write_ahead(connection)
    # Without a write-ahead log (some network file systems) each commit must reach the disk to be safe.
    connection.execute(f"PRAGMA synchronous={'NORMAL' if mode == 'wal' else 'FULL'}")
    if version == 0:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(SCHEMA)
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={VERSION}")
        connection.execute("COMMIT")


def _write_ahead(connection: sqlite3.Connection) -> str:
    """Switch to the write-ahead log; SQLite does not wait by itself for others that do the same."""
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            return str(connection.execute("PRAGMA journal_mode=WAL").fetchone()[0])
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def is_busy(error: Exception) -> bool:
    """Whether another process holds the journal."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF in BUSY


def journal_error(path: Path, error: Exception) -> DataError:
    """What SQLite says, as one sentence for people."""
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if code in DAMAGED or isinstance(error, zlib.error):
        return DataError(
            f"the journal {path} is damaged ({error})",
            hint=f"mv {path} {path}.damaged   puts it aside; its replies will be asked for again",
        )
    if is_busy(error):
        return DataError(
            f"the journal {path} has been in use by another process for over {WAIT_S:.0f} seconds",
            hint="wait for the other labtune, or stop it",
        )
    return DataError(
        f"the journal {path} cannot be used: {error}", hint="see to free space and permissions there"
    )


@dataclass(frozen=True, slots=True)
class ModelTotals:
    """What one model was asked. `cost` is the sum where the price was known, `unpriced` counts the others."""

    model: str
    replies: int
    failures: int
    prompt_tokens: int
    tokens: int
    cost: float
    currency: str
    unpriced: int
    mean_latency_s: float
    oldest: str
    newest: str


@dataclass(frozen=True, slots=True)
class PruneRule:
    """What to forget: entries for which all of these hold.

    Attributes:
        created_before: Unix time.
        unused_since: Unix time; entries not used from then on.
        model: identity of the model.
        failed: only requests that ended in an error.
    """

    created_before: float | None = None
    unused_since: float | None = None
    model: str | None = None
    failed: bool = False

    def where(self) -> tuple[str, list[Any]]:
        """The SQL condition and its values."""
        given = {"created < ?": self.created_before, "used < ?": self.unused_since, "model = ?": self.model}
        chosen = {sql: value for sql, value in given.items() if value is not None}
        return " AND ".join([*chosen, "error IS NOT NULL" if self.failed else "1"]), [*chosen.values()]


@dataclass(frozen=True, slots=True)
class Pruned:
    """What pruning did; sizes in bytes, write-ahead log included."""

    removed: int
    left: int
    bytes_before: int
    bytes_after: int


def size_bytes(path: Path) -> int:
    """Bytes of the database and of its write-ahead log."""
    files = (path, path.with_name(path.name + "-wal"))
    return sum(file.stat().st_size for file in files if file.exists())


class JournalFile:
    """The journal at rest, for looking into it and for cleaning up. Close it, or use it in a `with` block."""

    def __init__(self, path: Path) -> None:
        """Open the journal. Raises DataError, see `connect`."""
        self.path = path
        self._connection = connect(path)

    def __enter__(self) -> JournalFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def totals(self) -> list[ModelTotals]:
        """Each model and currency, by name."""
        rows = self._rows(
            "SELECT model, count(error IS NULL OR NULL), count(error), sum(prompt_tokens), sum(tokens), "
            "total(cost), currency, count(*) - count(cost), avg(latency_s), "
            f"strftime('{ISO}', min(created), 'unixepoch'), strftime('{ISO}', max(created), 'unixepoch') "
            "FROM replies GROUP BY model, currency ORDER BY model, currency"
        )
        return [ModelTotals(*row) for row in rows]

    def find(self, prefix: str, limit: int = 20) -> list[Entry]:
        """Entries whose key begins with `prefix` (hex digits), by key, at most `limit`."""
        low = prefix.lower().ljust(2 * KEY_BYTES, "0")[: 2 * KEY_BYTES]
        high = prefix.lower().ljust(2 * KEY_BYTES, "f")[: 2 * KEY_BYTES]
        bounds = (bytes.fromhex(low), bytes.fromhex(high), limit)
        return [
            self._entry(row)
            for row in self._rows(f"{SELECT} WHERE key BETWEEN ? AND ? ORDER BY key LIMIT ?", bounds)
        ]

    def entries(self, model: str | None = None) -> Iterator[Entry]:
        """All entries in the order in which they came, of one model if given."""
        where, values = PruneRule(model=model).where()
        for row in self._rows(f"{SELECT} WHERE {where} ORDER BY id", values):
            yield self._entry(row)

    def export(self, target: Path, model: str | None = None) -> int:
        """Write all entries (of one model if given) to `target` as JSON lines; returns their number."""
        part = target.with_name(f".{target.name}.part")
        try:
            with part.open("w", encoding="utf-8", errors="backslashreplace") as stream:
                number = 0
                for entry in self.entries(model):
                    stream.write(json.dumps(entry.document(), ensure_ascii=False) + "\n")
                    number += 1
            part.replace(target)
        except OSError as error:
            raise DataError(f"{target} cannot be written: {error.strerror}") from error
        finally:
            part.unlink(missing_ok=True)
        return number

    def count(self, rule: PruneRule) -> int:
        """How many entries the rule holds for."""
        where, values = rule.where()
        return int(next(self._rows(f"SELECT count(*) FROM replies WHERE {where}", values))[0])

    def prune(self, rule: PruneRule) -> Pruned:
        """Forget what the rule holds for and give the space back to the file system.

        Raises:
            DataError: another process holds the journal.
        """
        before = size_bytes(self.path)
        where, values = rule.where()
        try:
            removed = self._connection.execute(f"DELETE FROM replies WHERE {where}", values).rowcount
            self._connection.execute("VACUUM")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise journal_error(self.path, error) from error
        return Pruned(removed, self.count(PruneRule()), before, size_bytes(self.path))

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> Iterator[Sequence[Any]]:
        try:
            yield from self._connection.execute(sql, values)
        except sqlite3.Error as error:
            raise journal_error(self.path, error) from error

    def _entry(self, row: Sequence[Any]) -> Entry:
        try:
            return entry_of(row)
        except (zlib.error, UnicodeDecodeError) as error:
            raise journal_error(self.path, error) from error

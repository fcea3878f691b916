"""Seeded draws by token budget: which earlier rows and general chats a phase sees again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence

from labtune.mixing.rows import Candidate
from labtune.types import Emit, Message, no_events

CountTokens = Callable[[Sequence[Sequence[Message] | str]], list[int]]
"""Tokens of each chat, or of each plain text, as training renders it."""

_COUNT_AT_ONCE = 256


class TokenCounts:
    """Token counts of candidates, each asked for once.

    Args:
        count: counts.
        emit: is told how many rows were counted.
    """

    def __init__(self, count: CountTokens, emit: Emit = no_events) -> None:
        self._counter = count
        self._emit = emit
        self._known: dict[str, int] = {}
        self._counted = 0

    def of(self, rows: Sequence[Candidate]) -> list[int]:
        """Tokens of each row as it is rendered."""
        unknown = [row for row in rows if row.id not in self._known]
        if unknown:
            self._known.update((row.id, n) for row, n in zip(unknown, self.fresh(unknown), strict=True))
        return [self._known[row.id] for row in rows]

    def fresh(self, rows: Sequence[Candidate]) -> list[int]:
        """Tokens of rows whose ids may still stand for something else."""
        counts: list[int] = []
        for start in range(0, len(rows), _COUNT_AT_ONCE):
            part = rows[start : start + _COUNT_AT_ONCE]
            counts += self._counter([row.text or row.messages for row in part])
            self._counted += len(part)
            self._emit(
                "progress",
                {"subject": "counting tokens", "done": self._counted, "total": 0, "unit": "rows"},
            )
        return counts


def shuffle_key(seed: int, *names: str) -> bytes:
    """Where something stands in a seeded shuffle; depends on nothing but seed and names."""
    text = "\0".join((str(seed), *names))
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def chance(seed: int, *names: str) -> float:
    """A number in [0, 1) that depends on nothing but seed and names."""
    return int.from_bytes(shuffle_key(seed, *names)[:8], "big") / 2**64


def stratified_order(pool: Sequence[Candidate], seed: int, draw: str) -> list[Candidate]:
    """A seeded permutation of which every beginning holds the strata in the pool's proportions."""
    strata: dict[str, list[Candidate]] = {}
    for row in pool:
        strata.setdefault(row.stratum, []).append(row)
    placed: list[tuple[float, bytes, Candidate]] = []
    for rows in strata.values():
        keyed = sorted(((shuffle_key(seed, draw, row.id), row) for row in rows), key=lambda pair: pair[0])
        placed += [((i + 0.5) / len(keyed), key, row) for i, (key, row) in enumerate(keyed)]
    return [row for _, _, row in sorted(placed, key=lambda item: item[:2])]


def draw(
    pool: Sequence[Candidate], budget: float, counts: TokenCounts, *, seed: int, name: str
) -> list[tuple[Candidate, int, int]]:
    """Draw rows worth `budget` tokens, each once; a pool that is too small is gone through again.

    Returns:
        (row, its tokens, how often it was drawn before) in drawing order. The sum is within half a row of
        the budget.
    """
    drawn: list[tuple[Candidate, int, int]] = []
    total = 0
    for row, n_tokens, repeat in _endless(pool, counts, seed, name):
        if total >= budget or budget - total < total + n_tokens - budget:
            break
        drawn.append((row, n_tokens, repeat))
        total += n_tokens
    return drawn


def _endless(
    pool: Sequence[Candidate], counts: TokenCounts, seed: int, name: str
) -> Iterator[tuple[Candidate, int, int]]:
    repeat = 0
    while pool:
        order = stratified_order(pool, seed, f"{name}/{repeat}")
        n_before = 0
        for start in range(0, len(order), _COUNT_AT_ONCE):
            part = order[start : start + _COUNT_AT_ONCE]
            for row, n_tokens in zip(part, counts.of(part), strict=True):
                n_before += n_tokens
                yield row, n_tokens, repeat
        if n_before == 0:
            return
        repeat += 1

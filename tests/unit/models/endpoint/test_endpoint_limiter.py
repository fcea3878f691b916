"""How many requests are let through, with a clock that only the test moves."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from endpoint_server import run

from labtune.models.endpoint.limiter import Limiter, Permit


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def fill(limiter: Limiter) -> list[Permit]:
    """Take all the leave there is; one more waits."""
    permits = [await limiter.acquire(10) for _ in range(limiter.limit - limiter.in_flight)]
    waiting = asyncio.ensure_future(limiter.acquire(10))
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    return permits


async def rounds(limiter: Limiter, clock: Clock, count: int, seconds: Callable[[int], float]) -> list[int]:
    """Serve `count` rounds of as many replies as the limit allows; the limits after each."""
    limits = []
    for _ in range(count):
        permits = [await limiter.acquire(10) for _ in range(limiter.limit)]
        clock.now += seconds(len(permits))
        for permit in permits:
            limiter.done(permit, 10)
        limits.append(limiter.limit)
    return limits


def limited(work: Callable[[Clock], Coroutine[Any, Any, list[int]]]) -> list[int]:
    return run(work(Clock()))


def test_a_stated_number_of_slots_is_reached_in_a_few_rounds() -> None:
    async def work(clock: Clock) -> list[int]:
        limiter = Limiter(1024, clock=clock)
        return [limiter.limit, *await rounds(limiter, clock, 3, lambda n: 1.0)]

    assert limited(work) == [256, 512, 1024, 1024]


def test_the_limit_grows_while_more_at_once_gives_more() -> None:
    async def work(clock: Clock) -> list[int]:
        limiter = Limiter(clock=clock)
        return [limiter.limit, *await rounds(limiter, clock, 5, lambda n: 1.0)]

    assert limited(work) == [32, 64, 128, 256, 256, 256]


def test_it_stops_to_grow_where_the_endpoint_only_queues() -> None:
    async def work(clock: Clock) -> list[int]:
        limiter = Limiter(clock=clock)
        return await rounds(limiter, clock, 12, lambda n: max(1.0, n / 48))

    limits = limited(work)
    assert limits[:2] == [64, 128]
    assert set(limits[2:]) == {64}


def test_congestion_halves_once_for_all_that_was_under_way_and_the_way_back_is_quick() -> None:
    async def work(clock: Clock) -> list[int]:
        told: list[tuple[int, str]] = []
        limiter = Limiter(64, clock=clock, on_cut=lambda limit, why: told.append((limit, why)))
        await rounds(limiter, clock, 3, lambda n: 1.0)
        permits = await fill(limiter)
        assert len(permits) == 64
        limits = []
        for permit in permits[:40]:
            limiter.congested(permit, "429")
            limits.append(limiter.limit)
        assert limits == [64] * 3 + [32] * 37
        assert told == [(32, "429")]
        for permit in permits[40:]:
            limiter.done(permit, 10)
        return [limiter.limit, *await rounds(limiter, clock, 6, lambda n: 1.0)]

    # Quickly to 85 % of where it hurt, then one at a time.
    assert limited(work) == [32, 54, 54, 55, 56, 57, 58]


def test_a_refusal_now_and_then_does_not_cost_the_slots() -> None:
    async def work(clock: Clock) -> list[int]:
        limiter = Limiter(32, clock=clock)
        await rounds(limiter, clock, 1, lambda n: 1.0)
        for number in range(400):
            permit = await limiter.acquire(10)
            if number % 20 == 0:
                limiter.congested(permit, "503", retry_after_s=5.0)
            else:
                limiter.done(permit, 10)
        return [limiter.limit]

    assert limited(work) == [32]


def test_repeated_congestion_goes_down_to_one_and_comes_back() -> None:
    async def work(clock: Clock) -> list[int]:
        limiter = Limiter(32, clock=clock)
        limits = []
        for _ in range(13):
            limiter.congested(await limiter.acquire(10), "503")
            limits.append(limiter.limit)
        return [*limits, *(await rounds(limiter, clock, 40, lambda n: 1.0))[-1:]]

    # The first refusal of an unknown endpoint counts at once, later ones in twos.
    assert limited(work) == [16, 16, 8, 8, 4, 4, 2, 2, 1, 1, 1, 1, 1, 32]


def test_retry_after_holds_everything_back() -> None:
    async def work(clock: Clock) -> list[int]:
        limiter = Limiter(8, clock=clock)
        limiter.congested(await limiter.acquire(10), "429", retry_after_s=5.0)
        waiting = asyncio.ensure_future(limiter.acquire(10))
        await asyncio.sleep(0)
        assert not waiting.done()
        clock.now += 5.0
        await limiter.acquire(10)
        assert limiter.in_flight in {1, 2}
        waiting.cancel()
        return []

    limited(work)


@pytest.mark.parametrize(("bounds", "tokens"), [({"rpm": 60}, 1), ({"tpm": 60_000}, 1000)])
def test_a_budget_a_minute_is_kept_after_a_small_burst(bounds: dict[str, int], tokens: int) -> None:
    async def work(clock: Clock) -> list[int]:
        limiter = Limiter(100, clock=clock, **bounds)
        sent = 0
        for _ in range(300):
            while limiter._delay(tokens) <= 0:
                limiter.done(await limiter.acquire(tokens), tokens)
                sent += 1
            clock.now += 0.2
        return [sent]

    [sent] = limited(work)
    assert 60 <= sent <= 67


def test_tokens_that_were_not_used_are_given_back() -> None:
    async def work(clock: Clock) -> list[int]:
        limiter = Limiter(100, clock=clock, tpm=60_000)
        for _ in range(50):
            limiter.done(await asyncio.wait_for(limiter.acquire(1000), 1), 100)
        return [limiter.in_flight]

    assert limited(work) == [0]


def test_a_retry_goes_before_what_was_never_sent() -> None:
    async def work(clock: Clock) -> list[int]:
        limiter = Limiter(1, clock=clock)
        first = await limiter.acquire(1)
        order: list[int] = []

        async def take(number: int, again: bool) -> None:
            permit = await limiter.acquire(1, again=again)
            order.append(number)
            limiter.done(permit, 1)

        tasks = [asyncio.ensure_future(take(number, number == 3)) for number in (1, 2, 3)]
        await asyncio.sleep(0)
        limiter.done(first, 1)
        await asyncio.gather(*tasks)
        return order

    assert limited(work) == [3, 1, 2]


def test_cancelled_waiters_leave_no_trace() -> None:
    async def work(clock: Clock) -> list[int]:
        limiter = Limiter(1, clock=clock)
        first = await limiter.acquire(1)
        granted, waiting = (asyncio.ensure_future(limiter.acquire(1)) for _ in range(2))
        await asyncio.sleep(0)
        waiting.cancel()
        limiter.done(first, 1)
        # Granted, and cancelled before its task could run.
        granted.cancel()
        await asyncio.gather(granted, waiting, return_exceptions=True)
        assert limiter.in_flight == 0
        await asyncio.wait_for(limiter.acquire(1), 1)
        return [limiter.in_flight]

    assert limited(work) == [1]

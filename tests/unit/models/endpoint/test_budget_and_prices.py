import asyncio
from typing import Any

import pytest
from endpoint_server import run
from hypothesis import given
from hypothesis import strategies as st

from labtune.config.endpoint import EndpointConfig, PriceConfig
from labtune.errors import BudgetReached, ConfigError
from labtune.models.endpoint.budget import Budget, Meter
from labtune.models.endpoint.prices import Price, _table, price_of
from labtune.models.endpoint.tokens import estimate_tokens

CHEAP = Price(1.0, 2.0, "USD", "test")


class Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5USD|2h|1Mtok", Budget(5.0, "USD", 7200.0, 1_000_000)),
        ("2h", Budget(seconds=7200.0)),
        ("1h30m", Budget(seconds=5400.0)),
        ("45 min", Budget(seconds=2700.0)),
        ("90s, 500ktok", Budget(seconds=90.0, tokens=500_000)),
        ("$2.50", Budget(2.5, "USD")),
        ("0,5 EUR", Budget(0.5, "EUR")),
        ("1000 tokens", Budget(tokens=1000)),
        ("1.5d", Budget(seconds=129_600.0)),
        ("2 gbp|3Mtok", Budget(2.0, "GBP", None, 3_000_000)),
    ],
)
def test_budgets_are_read(text: str, expected: Budget) -> None:
    assert Budget.parse(text) == expected


@pytest.mark.parametrize(
    "text", ["", "5", "much", "5USD|6USD", "2h|3m", "-5USD", "5USD|", "1Xtok", "5 dollars"]
)
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--budget"):
        Budget.parse(text)


@given(st.text(max_size=12))
def test_no_text_raises_anything_else(text: str) -> None:
    try:
        Budget.parse(text)
    except ConfigError as error:
        assert "--budget" in error.message


def test_money_that_would_be_exceeded_is_not_spent() -> None:
    async def work() -> Meter:
        meter = Meter(Budget.parse("0.001USD"))
        hold = await meter.reserve(CHEAP, 100, 400)
        meter.settle(hold, CHEAP, 100, 200)
        with pytest.raises(BudgetReached, match=r"0.0005 of 0.001 USD are spent, the next may cost 0.0009"):
            await meter.reserve(CHEAP, 100, 400)
        meter.settle(await meter.reserve(CHEAP, 100, 200), CHEAP, 100, 200)
        return meter

    spent = run(work()).spent
    assert (round(spent.money, 9), spent.n_requests, spent.n_prompt_tokens, spent.n_tokens) == (
        0.001,
        2,
        200,
        400,
    )


def test_what_others_hold_is_waited_for() -> None:
    async def work() -> list[str]:
        meter, order = Meter(Budget(tokens=1000)), []
        first = await meter.reserve(None, 100, 800)

        async def second() -> None:
            hold = await meter.reserve(None, 100, 600)
            order.append("second")
            meter.release(hold)

        task = asyncio.ensure_future(second())
        await asyncio.sleep(0)
        order.append("settled")
        meter.settle(first, None, 100, 50)
        await task
        return order

    assert run(work()) == ["settled", "second"]


def test_the_time_is_counted_from_the_start() -> None:
    async def work() -> None:
        clock = Clock()
        meter = Meter(Budget.parse("2m"), clock=clock)
        clock.now += 119
        meter.release(await meter.reserve(None, 1, 1))
        clock.now += 1
        with pytest.raises(BudgetReached, match="120 s"):
            await meter.reserve(None, 1, 1)
        assert meter.spent.seconds == 120

    run(work())


def test_waiting_ends_with_the_time() -> None:
    async def work() -> None:
        meter = Meter(Budget(seconds=0.05))
        with pytest.raises(BudgetReached):
            await meter.within(asyncio.sleep(30))
        assert await Meter().within(asyncio.sleep(0, "done")) == "done"

    run(work())


def test_those_who_wait_for_the_budget_go_one_after_another_and_none_is_lost() -> None:
    async def work() -> int:
        meter = Meter(Budget(tokens=1000))

        async def one(number: int) -> None:
            hold = await meter.reserve(None, 0, 400)
            await asyncio.sleep(0.001)
            if number % 2:
                meter.release(hold)
            else:
                meter.settle(hold, None, 0, 10)

        tasks = [asyncio.ensure_future(one(number)) for number in range(60)]
        await asyncio.sleep(0.002)
        for task in tasks[40:45]:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert sum(isinstance(result, asyncio.CancelledError) for result in results) == 5
        assert not any(isinstance(result, BudgetReached) for result in results)
        return meter.spent.n_tokens

    assert run(work()) in range(250, 301)


def endpoint(url: str, model: str, **more: Any) -> EndpointConfig:
    return EndpointConfig(endpoint=url, model=model, **more)


def test_prices_come_from_the_lab_file_else_from_the_table_else_not_at_all() -> None:
    known = price_of(endpoint("https://api.openai.com/v1", "gpt-4.1-mini-2025-04-14"))
    assert known is not None
    assert (known.input, known.output, known.currency) == (0.4, 1.6, "USD")
    assert "labtune's table of 2026-" in known.source
    own = price_of(
        endpoint("https://api.openai.com/v1", "gpt-4.1-mini", prices=PriceConfig(input=9, output=9))
    )
    assert own is not None and own.of(1_000_000, 1_000_000) == 18
    assert price_of(endpoint("https://elsewhere.example/v1", "gpt-4.1-mini")) is None
    assert price_of(endpoint("https://api.openai.com/v1", "gpt-9")) is None


def test_every_entry_of_the_table_is_dated_and_sourced() -> None:
    seen = set()
    for entry in _table():
        assert entry["input"] >= 0 and entry["output"] >= entry["input"]
        assert entry["date"].year >= 2026
        assert entry["source"].startswith("https://")
        for model in entry["models"]:
            assert (entry["host"], model) not in seen
            seen.add((entry["host"], model))


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("The lighthouse keeper counts the ships every evening.", 11, 20),
        ("灯塔看守人每天晚上都会清点船只。", 16, 26),
        ("Хранитель маяка каждый вечер считает корабли.", 20, 45),
        ("", 0, 0),
    ],
)
def test_tokens_are_guessed_high_in_every_script(text: str, least: int, most: int) -> None:
    assert least <= estimate_tokens(text) <= most

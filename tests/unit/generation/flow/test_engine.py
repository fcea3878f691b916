"""The stream: order, bounds, isolation of faults and ends."""

from __future__ import annotations

import asyncio
import random
import tracemalloc
from collections.abc import Iterator, Sequence

import pytest
from flow_parts import collect, context_of, row_of, sources, step, told
from hypothesis import given, settings
from hypothesis import strategies as st

from labtune.errors import BudgetReached, ConfigError, EndpointError, RequestError
from labtune.generation.flow.context import FlowContext, StepContext, StepRecord
from labtune.generation.flow.engine import AHEAD, FlowStep, run
from labtune.generation.flow.rows import FlowRow, source_row

Rows = Sequence[FlowRow]


async def keep(row: FlowRow, context: StepContext) -> Rows:
    return (context.extend(row, {context.step: True}),)


def fan(number: int) -> FlowStep:
    async def function(row: FlowRow, context: StepContext) -> Rows:
        return [context.child(row, index, {"item": index}) for index in range(number)]

    return step("fan", function)


def numbered(place: FlowRow) -> tuple[object, ...]:
    return place.fields["number"], place.fields.get("item")


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.integers(1, 12), st.integers(0, 9))
def test_outcome_and_rejections_do_not_depend_on_timing(seed: int, window: int, n_rows: int) -> None:
    def steps(draw: random.Random | None) -> list[FlowStep]:
        async def pause() -> None:
            for _ in range(draw.randrange(6) if draw else 0):
                await asyncio.sleep(0)

        async def write(row: FlowRow, context: StepContext) -> Rows:
            await pause()
            number = int(str(row.fields["number"]))
            return [context.child(row, index, {"text": (number + index) % 4}) for index in range(number % 4)]

        async def check(row: FlowRow, context: StepContext) -> Rows:
            await pause()
            if row.fields["text"] == 3:
                context.reject(context.step, "three", row)
                return ()
            if row.fields["text"] == 2 and len(row.id) and row.id[0] in "01234567":
                raise RequestError("refused")
            return (context.extend(row, {"checked": True}),)

        async def first_of_its_text(row: FlowRow, context: StepContext) -> Rows:
            await pause()
            seen = context.flow.state.setdefault("seen", {})
            if seen.setdefault(row.fields["text"], row.id) == row.id:
                return (row,)
            context.reject(context.step, "duplicate", row)
            return ()

        return [
            step("write", write),
            step("check", check),
            step("new", first_of_its_text, "leaf"),
            step("again", write),
            step("end", check),
        ]

    def outcome(draw: random.Random | None, size: int) -> object:
        context = context_of()
        rows = asyncio.run(collect(sources(n_rows), steps(draw), context, window=size))
        return told(rows), context.rejections, context.stats

    assert outcome(random.Random(seed), window) == outcome(None, 1)


def test_rows_leave_in_the_order_of_the_walk_though_the_last_is_done_first() -> None:
    async def slow_start(row: FlowRow, context: StepContext) -> Rows:
        for _ in range(20 - 3 * int(str(row.fields["number"]))):
            await asyncio.sleep(0)
        return (row,)

    rows = asyncio.run(collect(sources(5), [step("slow", slow_start), fan(2)], context_of()))
    assert [numbered(row) for row in rows] == [(number, item) for number in range(5) for item in range(2)]


def test_a_child_starts_before_its_siblings_and_their_parent_s_neighbours_are_done() -> None:
    async def main() -> list[FlowRow]:
        reached = asyncio.Event()

        async def meet(row: FlowRow, context: StepContext) -> Rows:
            # All but the last child wait for what the last child does two steps later.
            if numbered(row) != (1, 2):
                await reached.wait()
            return (row,)

        async def arrive(row: FlowRow, context: StepContext) -> Rows:
            reached.set()
            return (row,)

        steps = [fan(3), step("meet", meet), step("keep", keep), step("arrive", arrive)]
        return await asyncio.wait_for(collect(sources(2), steps, context_of()), 5)

    assert len(asyncio.run(main())) == 6


def test_other_source_rows_go_on_while_one_waits_for_its_turn() -> None:
    async def main() -> list[FlowRow]:
        ready = asyncio.Event()

        async def wait(row: FlowRow, context: StepContext) -> Rows:
            if row.fields["number"] == 0:
                await ready.wait()
            elif row.fields["number"] == 3:
                ready.set()
            return (row,)

        steps = [step("wait", wait), step("order", keep, "leaf"), step("keep", keep)]
        return await asyncio.wait_for(collect(sources(4), steps, context_of()), 5)

    assert [row.fields["number"] for row in asyncio.run(main())] == [0, 1, 2, 3]


def test_siblings_meet_in_order_without_waiting_for_other_source_rows() -> None:
    async def main() -> list[FlowRow]:
        second_passed = asyncio.Event()

        async def write(row: FlowRow, context: StepContext) -> Rows:
            if row.fields["number"] == 0:
                await second_passed.wait()
            return [context.child(row, index, {"item": index}) for index in range(3)]

        async def once(row: FlowRow, context: StepContext) -> Rows:
            if row.fields["number"] == 1:
                second_passed.set()
            count = context.row_state.setdefault("count", [])
            count.append(row.fields["item"])
            return (context.extend(row, {"before": len(count)}),)

        steps = [step("write", write), step("once", once, "siblings")]
        return await asyncio.wait_for(collect(sources(2), steps, context_of()), 5)

    rows = asyncio.run(main())
    assert [row.fields["before"] for row in rows] == [1, 2, 3, 1, 2, 3]


@pytest.mark.parametrize("window", [1, 3, 8])
def test_the_window_bounds_the_rows_at_work(window: int) -> None:
    at_work = most = 0

    async def busy(row: FlowRow, context: StepContext) -> Rows:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        await asyncio.sleep(0.001 if int(str(row.fields["number"])) % 7 == 0 else 0)
        at_work -= 1
        return (row,)

    asyncio.run(collect(sources(40), [step("busy", busy)], context_of(), window=window))
    assert most == window


@pytest.mark.parametrize("ordered", [False, True])
def test_a_slow_row_holds_back_neither_the_others_nor_the_bound_of_memory(ordered: bool) -> None:
    window, most = 3, 0
    finished: list[int] = []
    given_out: list[int] = []

    async def main() -> None:
        released = asyncio.Event()

        def source() -> Iterator[FlowRow]:
            nonlocal most
            for number, row in enumerate(sources(60)):
                most = max(most, number + 1 - len(given_out))
                yield row

        async def first_waits(row: FlowRow, context: StepContext) -> Rows:
            number = int(str(row.fields["number"]))
            if number == 0:
                await released.wait()
            finished.append(number)
            if len(finished) == window * AHEAD - 1:
                released.set()
            return (row,)

        steps = [step("wait", first_waits), *([step("in_turn", keep, order="leaf")] if ordered else [])]
        async for row in run(source(), steps, context_of(), window=window):
            given_out.append(int(str(row.fields["number"])))

    asyncio.run(main())
    assert finished[: window * AHEAD - 1] == list(range(1, window * AHEAD))
    assert given_out == list(range(60))
    assert most <= window * AHEAD + 1


def test_a_fan_out_holds_back_new_source_rows() -> None:
    alive = 0
    found: list[int] = []

    async def begin(row: FlowRow, context: StepContext) -> Rows:
        found.append(alive)
        return (row,)

    async def busy(row: FlowRow, context: StepContext) -> Rows:
        nonlocal alive
        alive += 1
        for _ in range(60 if int(str(row.fields["number"])) % 5 else 1):
            await asyncio.sleep(0)
        alive -= 1
        return (row,)

    rows = asyncio.run(
        collect(sources(30), [step("begin", begin), fan(20), step("busy", busy)], context_of(), window=5)
    )
    assert len(rows) == 600
    # After the first five, a source row begins only where fewer than five rows are alive.
    assert max(found) < 5


def test_one_bad_row_stops_nothing_and_is_told_with_its_cause() -> None:
    async def refuse(row: FlowRow, context: StepContext) -> Rows:
        if row.fields["number"] == 1:
            raise RequestError("content filter")
        if row.fields["number"] == 2:
            raise KeyError("colour")
        return (context.extend(row, {"seen": True}),)

    context = context_of()
    rows = asyncio.run(collect(sources(4), [step("refuse", refuse)], context))
    assert [row.fields["number"] for row in rows] == [0, 3]
    told_of = [(one.step, one.reason, one.row["detail"]) for one in context.rejections]
    assert told_of == [
        ("refuse", "request_failed", "content filter"),
        ("refuse", "block_failed", "KeyError: 'colour'"),
    ]
    stats = context.stats["refuse"]
    assert (stats.rows_in, stats.rows_out) == (4, 2)
    assert stats.rejected == {"request_failed": 1, "block_failed": 1}


def failing_at(number: int, error: Exception, begun: list[object]) -> FlowStep:
    async def fail(row: FlowRow, context: StepContext) -> Rows:
        begun.append(row.fields["number"])
        await asyncio.sleep(0)
        if row.fields["number"] == number:
            raise error
        return (row,)

    return step("fail", fail)


@pytest.mark.parametrize("error", [EndpointError("gone"), BudgetReached("spent"), ConfigError("no")])
def test_a_lost_endpoint_or_a_spent_budget_drains_then_is_raised(error: Exception) -> None:
    async def main() -> tuple[list[object], list[object], FlowContext]:
        begun: list[object] = []
        seen: list[object] = []
        context = context_of()
        steps = [failing_at(2, error, begun), step("keep", keep)]
        with pytest.raises(type(error)):
            async for row in run(sources(50), steps, context, window=4):
                seen.append(row.fields["number"])
        return begun, seen, context

    begun, seen, context = asyncio.run(main())
    assert seen == [number for number in begun if number != 2]
    assert len(begun) < 10
    assert context.unfinished == 1
    assert context.rejections == []


def test_a_failure_can_stop_everything_at_once() -> None:
    async def main() -> list[str]:
        ended: list[str] = []

        async def hang(row: FlowRow, context: StepContext) -> Rows:
            if row.fields["number"] == 2:
                await asyncio.sleep(0.01)
                raise EndpointError("gone")
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                ended.append(row.id)
                raise
            return (row,)

        with pytest.raises(EndpointError):
            await asyncio.wait_for(
                collect(sources(4), [fan(2), step("hang", hang)], context_of(), on_failure="stop"), 5
            )
        return ended

    assert len(asyncio.run(main())) == 6


def test_draining_ends_running_steps_and_begins_no_other() -> None:
    async def main() -> tuple[list[FlowRow], FlowContext]:
        drain = asyncio.Event()
        context = context_of()

        async def half_way(row: FlowRow, context: StepContext) -> Rows:
            await asyncio.sleep(0)
            if row.fields["number"] == 3:
                drain.set()
            return (row,)

        steps = [step("first", half_way), step("last", keep)]
        return await collect(sources(100), steps, context, window=8, drain=drain), context

    rows, context = asyncio.run(main())
    assert [row.fields["number"] for row in rows] == [0, 1, 2]
    assert context.unfinished == 5
    assert context.rejections == []


def test_cancelling_the_reader_cancels_every_walk() -> None:
    async def main() -> tuple[int, int, set[str]]:
        begun = ended = 0

        async def hang(row: FlowRow, context: StepContext) -> Rows:
            nonlocal begun, ended
            begun += 1
            try:
                await asyncio.sleep(30)
            finally:
                ended += 1
            return (row,)

        reader = asyncio.create_task(collect(sources(5), [fan(3), step("hang", hang)], context_of()))
        while begun < 15:
            await asyncio.sleep(0)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        return begun, ended, {task.get_name() for task in asyncio.all_tasks() - {asyncio.current_task()}}

    assert asyncio.run(main()) == (15, 15, set())


def test_leaving_early_leaves_no_task_behind() -> None:
    async def main() -> int:
        stream = run(sources(20), [fan(2), step("keep", keep)], context_of(), window=4)
        async for _row in stream:
            break
        await stream.aclose()
        return len(asyncio.all_tasks())

    assert asyncio.run(main()) == 1


def test_a_fault_of_the_source_is_not_hidden() -> None:
    def source() -> object:
        yield from sources(2)
        raise ValueError("the source broke")

    with pytest.raises(ValueError, match="the source broke"):
        asyncio.run(collect(source(), [step("keep", keep)], context_of()))  # type: ignore[arg-type]


def test_ids_follow_from_parent_step_and_index_alone() -> None:
    first = asyncio.run(collect(sources(2), [fan(2)], context_of()))
    longer = asyncio.run(collect(sources(3), [step("keep", keep), fan(3), step("last", keep)], context_of()))
    assert len({row.id for row in longer}) == 9
    # More source rows, more siblings and steps that add fields change no id.
    assert {row.id for row in first} < {row.id for row in longer}
    other = asyncio.run(collect(sources(2), [FlowStep("other", fan(2).block)], context_of()))
    assert not {row.id for row in first} & {row.id for row in other}
    assert row_of("knowledge").id == row_of("knowledge").id != row_of("knowledge", key="1").id


def test_a_final_row_skips_what_follows() -> None:
    async def part(row: FlowRow, context: StepContext) -> Rows:
        return (context.child(row, 0, {}).leaving(), context.child(row, 1, {}))

    steps = [step("part", part), step("order", keep, "leaf"), step("end", keep)]
    rows = asyncio.run(collect(sources(2), steps, context_of()))
    assert [(row.final, "end" in row.fields) for row in rows] == [(True, False), (False, True)] * 2


def test_every_step_is_told_to_the_observer() -> None:
    records: list[StepRecord] = []
    context = context_of(observe=records.append)
    asyncio.run(collect(sources(1), [fan(2), step("keep", keep)], context))
    assert [(one.step, len(one.rows)) for one in records] == [("fan", 2), ("keep", 1), ("keep", 1)]


def test_no_rows_and_no_steps_are_fine() -> None:
    assert asyncio.run(collect([], [fan(2)], context_of())) == []
    assert [row.fields["number"] for row in asyncio.run(collect(sources(3), [], context_of()))] == [0, 1, 2]


def test_ten_times_the_rows_need_no_more_memory() -> None:
    def peak(number: int) -> int:
        async def main() -> None:
            context = context_of(on_reject=lambda _rejection: None)
            steps = [step("keep", keep), step("order", keep, "leaf")]
            stream = (source_row("leaf", (str(index),), {"number": index}) for index in range(number))
            async for _ in run(stream, steps, context, window=64):
                pass

        tracemalloc.start()
        asyncio.run(main())
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    # A leak of one row each would be several megabytes against a quarter of one.
    assert peak(5_000) < 3 * peak(500)

"""Leaves taught in branches over one ledger, with the branches in threads of this process."""

from __future__ import annotations

import asyncio
import json
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.simulated_teacher import TeacherConfig, teacher_process
from tests.unit.cli.small_lab import write_lab

from labtune.artifact import Curated
from labtune.config.endpoint import EndpointConfig
from labtune.engine.local import LocalExecutor
from labtune.errors import BudgetReached, RequestError
from labtune.generation.school import generate_with_models
from labtune.models.endpoint.json_probe import PROBES
from labtune.models.journal import Journal, request_key
from labtune.models.ledger import Ledger, LedgerModel
from labtune.protocols import ChatRequest, Reply, Sampling
from labtune.types import Message, RunContext, StageOutcome
from labtune.workflow.faculty import open_faculty, pipeline_of
from labtune.workflow.lab import Lab
from labtune.workflow.run import run_lab
from labtune.workflow.workers import away_of, share_of


class Threads(LocalExecutor):
    """Workers that are threads: everything but Ray."""

    workers = 2


@contextmanager
def threads():
    yield Threads()


def lab_of(folder: Path, url: str, budget: str = "", **endpoint: object) -> Lab:
    settings = {
        "teacher": {"endpoint": url, "model": "simulated-teacher", **endpoint},
        "generate": {"pipeline": "simple", "target": 12, "rounds": 2},
    }
    root = folder if (folder / "labtune.yaml").exists() else write_lab(folder, 3, json.dumps(settings))
    return Lab.open(root, overrides=["engine={kind: ray, workers: 2}"], budget=budget)


def teach(lab: Lab, *, away: bool, events: list | None = None) -> StageOutcome:
    """The stage, at home or in branches."""
    local = Lab.open(lab.root)
    run_lab(local, until="curate")
    out = lab.root / ("away" if away else "home")
    out.mkdir(exist_ok=True)
    emit = (lambda *_: None) if events is None else lambda event, fields: events.append((event, fields))
    teacher = lab.config.lab.teacher
    there = away_of(lab, teacher, emit)
    assert there is not None
    return generate_with_models(
        Curated(local.root / "runs" / "latest" / "curate"),
        config=lab.config.lab.generate,
        run=RunContext(out, lab.cache_dir, 1, emit),
        pipeline=pipeline_of(lab, lab.config.lab.generate),
        open_faculty=lambda: open_faculty(lab, teacher, emit),
        away=replace(there, open_executor=threads) if away else None,
    )


def test_branches_give_what_the_school_at_home_gives_and_count_what_was_asked(tmp_path):
    with teacher_process(TeacherConfig()) as teacher:
        here = teach(lab_of(tmp_path / "one", teacher.url), away=False)
        teacher.reset()
        events: list = []
        there = teach(lab_of(tmp_path / "two", teacher.url, max_concurrency=8), away=True, events=events)
        assert (tmp_path / "two/away/samples.jsonl").read_bytes() == (
            tmp_path / "one/home/samples.jsonl"
        ).read_bytes()
        for name in ("samples", "requests", "prompt_tokens", "tokens"):
            assert there.counts[name] == here.counts[name], name
        assert teacher.stats()["most_active"] <= 8
        # Branches that begin at once may each try how the endpoint takes JSON by schema.
        assert teacher.stats()["answered_twice"] <= len(PROBES)
        assert {name for name, _ in events} >= {"progress", "teaching", "sample", "leaf"}
        # What is in the cache asks nobody, and opens no engine.
        again = teach(lab_of(tmp_path / "two", "http://localhost:1/v1"), away=True)
        assert (again.counts["leaves_from_cache"], again.counts["requests"]) == (3, 0)


def test_a_budget_holds_over_all_branches_and_the_same_command_goes_on(tmp_path):
    with teacher_process(TeacherConfig()) as teacher:
        teach(lab_of(tmp_path / "one", teacher.url), away=False)
        teacher.reset()
        with pytest.raises(BudgetReached, match="every reply is kept"):
            teach(lab_of(tmp_path / "two", teacher.url, budget="9ktok"), away=True)
        used = teacher.stats()
        assert 0 < used["prompt_tokens"] + used["completion_tokens"] <= 9000
        teach(lab_of(tmp_path / "two", teacher.url), away=True)
        assert (tmp_path / "two/away/samples.jsonl").read_bytes() == (
            tmp_path / "one/home/samples.jsonl"
        ).read_bytes()
        assert teacher.stats()["answered_twice"] <= len(PROBES)


def test_an_endpoints_bounds_are_shared_out():
    config = EndpointConfig(endpoint="http://h/v1", model="m", max_concurrency=9, rpm=100)
    shared = share_of(config, 4)
    assert (shared.max_concurrency, shared.rpm, shared.tpm) == (2, 25, None)
    assert share_of(EndpointConfig(endpoint="http://h/v1", model="m", rpm=2), 4).rpm == 1


def request(text: str) -> ChatRequest:
    return ChatRequest((Message("user", text),), Sampling())


class Slow:
    """A model that answers when it is let, and counts."""

    name = "slow"

    def __init__(self, error: RequestError | None = None) -> None:
        self.asked = 0
        self.go = asyncio.Event()
        self.error = error

    async def chat(self, request: ChatRequest) -> Reply:
        self.asked += 1
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return Reply(request.messages[0].content.upper(), True, 3, 2)


class Here:
    """A ledger in the same event loop."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def call(self, method: str, *arguments: object):
        from concurrent.futures import Future

        done: Future = Future()

        async def work() -> None:
            try:
                result = getattr(self.ledger, method)(*arguments)
                done.set_result(await result if asyncio.iscoroutine(result) else result)
            except Exception as error:  # noqa: BLE001 - whatever it is belongs to the caller
                done.set_exception(error)

        self.task = asyncio.get_running_loop().create_task(work())
        return done


def test_two_workers_ask_the_same_once_and_a_lost_workers_question_is_asked_again(tmp_path):
    async def play() -> None:
        ledger = Ledger(tmp_path / "journal.sqlite")
        host = Here(ledger)
        model = Slow()
        first, second = LedgerModel(model, host, 0), LedgerModel(model, host, 1)
        both = [asyncio.create_task(one.chat(request("hello"))) for one in (first, second)]
        while not model.asked:
            await asyncio.sleep(0)
        model.go.set()
        replies = await asyncio.gather(*both)
        assert model.asked == 1
        assert [(reply.text, reply.cached) for reply in replies] == [("HELLO", False), ("HELLO", True)]
        assert (ledger.usage().requests, ledger.usage().cached) == (2, 1)
        # Worker 0 is killed while it asks; worker 1 waits for its answer and then asks itself.
        key = request_key("slow", request("again"))
        assert await ledger.claim(0, key) is None
        waiting = asyncio.create_task(second.chat(request("again")))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        ledger.enter(0)
        assert (await waiting).text == "AGAIN"
        ledger.close()

    asyncio.run(play())
    with Journal(tmp_path / "journal.sqlite") as journal:
        assert journal.lookup(request_key("slow", request("again"))).text == "AGAIN"


def test_what_fails_for_good_is_kept_and_what_may_pass_is_not(tmp_path):
    class Passing(RequestError):
        transient = True

    async def play(error: RequestError) -> tuple[int, int, int]:
        ledger = Ledger(tmp_path / f"{type(error).__name__}.sqlite")
        model = Slow(error)
        model.go.set()
        asked = LedgerModel(model, Here(ledger), 0)
        for _ in range(2):
            with pytest.raises(RequestError, match="no use"):
                await asked.chat(request("hello"))
        await asyncio.sleep(0.01)
        usage = ledger.usage()
        ledger.close()
        return model.asked, usage.failed, usage.transient

    assert asyncio.run(play(RequestError("no use"))) == (1, 2, 0)
    assert asyncio.run(play(Passing("no use"))) == (2, 2, 2)

"""The journal with real files, real processes and real kills."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labtune.errors import BudgetReached, DataError, EndpointError, RequestError
from labtune.models.journal import DAY_S, Journal, JournaledModel, request_key
from labtune.models.journal_file import JournalFile, PruneRule, size_bytes
from labtune.protocols import ChatRequest, Reply, Sampling
from labtune.types import Message

DAY = 86_400.0


class Teacher:
    """Replies with the question in capitals and remembers what it was asked."""

    def __init__(self, name: str = "teacher", delay_s: float = 0.0) -> None:
        self.name = name
        self.delay_s = delay_s
        self.asked: list[str] = []
        self.error: Exception | None = None

    async def chat(self, request: ChatRequest) -> Reply:
        text = request.messages[-1].content
        self.asked.append(text)
        await asyncio.sleep(self.delay_s)
        if self.error is not None:
            raise self.error
        return Reply(text.upper(), True, len(text), 7, model="served-teacher", finish="stop", cost=0.25)


def request(text: str = "what eats a heron?", **changes: Any) -> ChatRequest:
    return replace(ChatRequest((Message("user", text),), Sampling(64, 0.7, seed=1)), **changes)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


def asking(
    path: Path, teacher: Teacher, *requests: ChatRequest, clock: Callable[[], float] = time.time
) -> list[Reply]:
    """One run: open, ask all at once, close."""

    async def run(model: JournaledModel) -> list[Reply]:
        return list(await asyncio.gather(*(model.chat(one) for one in requests)))

    with Journal(path, clock=clock) as journal:
        return asyncio.run(run(JournaledModel(teacher, journal)))


def test_a_second_run_asks_nothing_and_sees_the_same(path: Path) -> None:
    teacher = Teacher()
    texts = [f"question {n}" for n in range(300)]
    first = asking(path, teacher, *map(request, texts))
    second = asking(path, teacher, *map(request, texts))
    assert sorted(teacher.asked) == sorted(texts)
    assert not any(reply.cached for reply in first)
    assert [replace(reply, cached=False) for reply in second] == first
    assert first[0].key == request_key("teacher", request("question 0"))
    assert (first[0].text, first[0].model, first[0].cost) == ("QUESTION 0", "served-teacher", 0.25)


def test_whatever_can_change_a_reply_changes_the_key() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    others = [
        request("another question"),
        request(messages=(Message("system", "what eats a heron?"),)),
        request(messages=(Message("user", "what eats "), Message("user", "a heron?"))),
        request(sampling=Sampling(64, 0.7, seed=2)),
        request(sampling=Sampling(64, 0.8, seed=1)),
        request(sampling=Sampling(65, 0.7, seed=1)),
        request(sampling=Sampling(64, 0.7, 0.9, seed=1)),
        request(schema=schema),
        request(index=1),
    ]
    keys = {request_key("teacher", one) for one in [request(), *others]} | {request_key("judge", request())}
    assert len(keys) == len(others) + 2
    assert request_key("teacher", request(schema={**schema, "type": "object"})) in keys


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def reordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reordered(value[key]) for key in reversed(list(value))}
    return [reordered(item) for item in value] if isinstance(value, list) else value


@given(st.text(), st.dictionaries(st.text(max_size=5), json_values, max_size=5))
def test_the_order_of_a_schema_plays_no_part_in_the_key(text: str, schema: dict[str, Any]) -> None:
    assert request_key("m", request(text, schema=schema)) == request_key(
        "m", request(text, schema=reordered(schema))
    )
    assert request_key("m", request(text, schema=schema)) != request_key("m", request(text))


@given(st.text(st.characters(codec=None)), st.text(st.characters(codec=None)))
def test_keys_differ_when_texts_do(one: str, other: str) -> None:
    same = request_key("m", request(one)) == request_key("m", request(other))
    assert same == (one == other)


def test_the_key_does_not_change_between_releases() -> None:
    assert request_key("teacher", request()) == "07bc0e9e9f63b18599e0c80fc064f8e9"


def test_equal_requests_in_flight_are_asked_once(path: Path) -> None:
    teacher = Teacher(delay_s=0.05)
    replies = asking(path, teacher, *[request()] * 50)
    assert len(teacher.asked) == 1
    assert {reply.text for reply in replies} == {"WHAT EATS A HERON?"}
    assert sum(reply.cached for reply in replies) == 49


def test_who_waits_takes_over_when_the_asker_is_cancelled(path: Path) -> None:
    teacher = Teacher(delay_s=0.1)

    async def run(model: JournaledModel) -> Reply:
        first = asyncio.create_task(model.chat(request()))
        await asyncio.sleep(0.01)
        second = asyncio.create_task(model.chat(request()))
        third = asyncio.create_task(model.chat(request()))
        await asyncio.sleep(0.01)
        third.cancel()
        first.cancel()
        return await second

    with Journal(path) as journal:
        assert asyncio.run(run(JournaledModel(teacher, journal))).text == "WHAT EATS A HERON?"
        assert journal.flights == {}
    assert len(teacher.asked) == 2


def test_a_reply_that_came_is_kept_though_nobody_waits_any_more(path: Path) -> None:
    teacher = Teacher()

    async def run(model: JournaledModel) -> None:
        task = asyncio.create_task(model.chat(request()))
        while not teacher.asked:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()

    with Journal(path) as journal:
        asyncio.run(run(JournaledModel(teacher, journal)))
    assert asking(path, teacher, request())[0].cached


def test_a_request_that_failed_for_good_is_not_asked_again(path: Path) -> None:
    teacher = Teacher()
    teacher.error = RequestError("the teacher refused", hint="ask otherwise")
    for _ in range(2):
        with pytest.raises(RequestError, match="the teacher refused") as caught:
            asking(path, teacher, request())
        assert caught.value.hint == "ask otherwise"
    assert len(teacher.asked) == 1
    with JournalFile(path) as journal:
        (totals,) = journal.totals()
        assert (totals.replies, totals.failures, totals.tokens) == (0, 1, 0)
        assert journal.prune(PruneRule(failed=True)).removed == 1
    teacher.error = None
    assert asking(path, teacher, request())[0].text == "WHAT EATS A HERON?"


def transient() -> RequestError:
    error = RequestError("no answer in 8 attempts")
    error.transient = True
    return error


@pytest.mark.parametrize("error", [transient(), EndpointError("gone"), BudgetReached("spent")])
def test_what_may_pass_is_not_kept(path: Path, error: Exception) -> None:
    teacher = Teacher()
    teacher.error = error
    with pytest.raises(type(error)):
        asking(path, teacher, request())
    teacher.error = None
    assert not asking(path, teacher, request())[0].cached


def test_what_an_endpoint_can_smuggle_in_is_harmless(path: Path) -> None:
    class Smuggler(Teacher):
        async def chat(self, request: ChatRequest) -> Reply:
            return Reply("bad \ud800 text 中文", True, 10**30, 1, model="\udfff", finish="\udc00")

    asked = request("also \udfff here")
    first, second = (asking(path, Smuggler(), asked)[0] for _ in range(2))
    assert first.text == second.text == "bad ? text 中文"
    with JournalFile(path) as journal:
        (entry,) = journal.entries()
        assert entry.document()["messages"][0]["content"] == "also \udfff here"


WRITER = """
import asyncio, sys
from pathlib import Path
from labtune.models.journal import Journal, JournaledModel
from labtune.protocols import ChatRequest, Reply, Sampling
from labtune.types import Message

class Teacher:
    name = "teacher"
    async def chat(self, request):
        await asyncio.sleep(0.001)
        return Reply(request.messages[0].content * 50, True, 1, 1)

async def main(journal):
    model, numbers = JournaledModel(Teacher(), journal), iter(range(int(sys.argv[2]), int(sys.argv[3])))
    async def work():
        for n in numbers:
            await model.chat(ChatRequest((Message("user", f"question {n} "),), Sampling()))
            sys.stdout.write(f"{n}\\n")
            sys.stdout.flush()
    await asyncio.gather(*(work() for _ in range(16)))

with Journal(Path(sys.argv[1])) as journal:
    asyncio.run(main(journal))
"""


def writer(path: Path, begin: int, end: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(begin), str(end)], stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("lines", [1, 40, 700])
def test_a_killed_process_loses_nothing_that_it_handed_on(path: Path, lines: int) -> None:
    """What the child printed, it had been given; all of it must be there after SIGKILL."""
    process = writer(path, 0, 1_000_000)
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(lines)]
    process.send_signal(signal.SIGKILL)
    said += process.stdout.read().splitlines(keepends=True)
    process.wait()
    handed_on = {int(line) for line in said if line.endswith("\n")}
    with JournalFile(path) as journal:
        kept = {int(entry.document()["messages"][0]["content"].split()[1]) for entry in journal.entries()}
    assert len(handed_on) >= lines
    assert handed_on <= kept
    assert len(kept - handed_on) <= 16 * 2


def test_processes_share_a_journal(path: Path) -> None:
    """Three writers begin on a file that none has made yet; their ranges overlap."""
    processes = [writer(path, begin, begin + 400) for begin in (0, 200, 300)]
    with ThreadPoolExecutor(3) as pool:
        outputs = list(pool.map(lambda process: process.communicate()[0], processes))
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert all(len(output.split()) == 400 for output in outputs)
    with JournalFile(path) as journal:
        texts = [entry.document()["messages"][0]["content"] for entry in journal.entries()]
    assert sorted(texts) == sorted(f"question {n} " for n in range(700))


def test_all_processes_see_the_reply_that_was_first(path: Path) -> None:
    class Other(Teacher):
        async def chat(self, request: ChatRequest) -> Reply:
            asking_in_thread(path)
            return Reply("the late reply", True, 1, 1)

    def asking_in_thread(path: Path) -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(asking, path, Teacher(), request()).result()

    (reply,) = asking(path, Other(), request())
    assert (reply.text, reply.cached) == ("WHAT EATS A HERON?", True)


def test_a_writer_elsewhere_is_waited_for_without_stopping_the_loop(path: Path) -> None:
    asking(path, Teacher(), request("first"))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    ticks = 0

    async def run(model: JournaledModel) -> Reply:
        nonlocal ticks
        task = asyncio.create_task(model.chat(request("second")))
        for _ in range(20):
            await asyncio.sleep(0.005)
            ticks += not task.done()
        other.execute("COMMIT")
        return await task

    with Journal(path) as journal:
        assert asyncio.run(run(JournaledModel(Teacher(), journal))).text == "SECOND"
    other.close()
    assert ticks == 20


def damage(path: Path) -> None:
    """Overwrite all pages but the first, as a broken disk would."""
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"\xab" * (len(data) - 4096))


@pytest.mark.parametrize(
    "spoil",
    [damage, lambda path: path.write_bytes(b"no database " * 1000)],
    ids=["pages", "header"],
)
def test_a_damaged_file_is_said_in_one_sentence(path: Path, spoil: Callable[[Path], Any]) -> None:
    asking(path, Teacher(), *(request(f"question {n}") for n in range(50)))
    spoil(path)
    with pytest.raises(DataError, match=r"the journal .* is damaged") as caught:
        asking(path, Teacher(), request("question 7"), request("new"))
    assert f"mv {path}" in (caught.value.hint or "")


def test_a_damaged_page_of_replies_does_not_hang_who_waits(path: Path) -> None:
    """The look-up index may be whole while the write meets the damage: it must be raised where one waits."""

    class Vandal(Teacher):
        async def chat(self, request: ChatRequest) -> Reply:
            damage(path)
            return await super().chat(request)

    asking(path, Teacher(), *(request(f"question {n}" * 40) for n in range(300)))
    with pytest.raises(DataError):
        asking(path, Vandal(), *(request(f"new {n}") for n in range(20)))


def test_other_databases_and_newer_journals_are_left_alone(path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE birds (name TEXT)")
    other.commit()
    before = path.read_bytes()
    with pytest.raises(DataError, match="another program's database"):
        Journal(path)
    assert path.read_bytes() == before
    other.close()
    path.unlink()
    asking(path, Teacher(), request())
    newer = sqlite3.connect(path)
    newer.execute("PRAGMA user_version=99")
    newer.close()
    with pytest.raises(DataError, match="newer labtune"):
        Journal(path)


def test_a_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be used"):
        Journal(tmp_path / "file" / "journal.sqlite")


def test_prune_by_age_model_and_use(path: Path) -> None:
    now = 1_800_000_000.0
    asking(path, Teacher("old"), *(request(f"q{n}") for n in range(5)), clock=lambda: now - 40 * DAY)
    asking(path, Teacher("old"), request("q0"), clock=lambda: now - 2 * DAY)
    asking(path, Teacher("new"), *(request(f"q{n}") for n in range(3)), clock=lambda: now)
    with JournalFile(path) as journal:
        assert journal.count(PruneRule(created_before=now - 30 * DAY)) == 5
        assert journal.count(PruneRule(unused_since=now - 30 * DAY)) == 4
        assert journal.count(PruneRule(created_before=now - 30 * DAY, model="new")) == 0
        assert journal.prune(PruneRule(unused_since=now - 30 * DAY)).removed == 4
        assert [entry.model for entry in journal.entries()] == ["old", "new", "new", "new"]
        assert journal.prune(PruneRule(model="new")).left == 1
    teacher = Teacher("old")
    assert asking(path, teacher, request("q0"))[0].cached


def test_a_use_is_noted_once_a_day(path: Path) -> None:
    now = 1_800_000_000.0
    asking(path, Teacher(), request(), clock=lambda: now)

    def used_at(at: float) -> float:
        asking(path, Teacher(), request(), clock=lambda: at)
        with JournalFile(path) as journal:
            return next(journal.entries()).used

    assert used_at(now + DAY_S / 2) == now
    assert used_at(now + DAY_S * 1.5) == now + DAY_S * 1.5


def test_pruning_gives_the_space_back(path: Path) -> None:
    asking(path, Teacher(), *(request(f"question {n} " * 200) for n in range(300)))
    with JournalFile(path) as journal:
        pruned = journal.prune(PruneRule(model="teacher"))
    assert pruned.removed == 300
    assert pruned.bytes_after < pruned.bytes_before / 5
    assert size_bytes(path) <= pruned.bytes_after


def test_nothing_of_the_environment_is_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEACHER_KEY", "sk-very-secret-0123456789")
    asking(path, Teacher(), request())
    assert b"sk-very-secret" not in b"".join(file.read_bytes() for file in path.parent.iterdir())


def test_export_can_be_read_line_by_line(path: Path, tmp_path: Path) -> None:
    schema = {"type": "object"}
    asking(path, Teacher(), request("你好"), request("two", schema=schema, index=3))
    with JournalFile(path) as journal:
        assert journal.export(tmp_path / "out.jsonl") == 2
    first, second = map(json.loads, (tmp_path / "out.jsonl").read_text("utf-8").splitlines())
    assert (first["messages"], first["reply"]) == ([{"role": "user", "content": "你好"}], "你好")
    assert (second["schema"], second["index"], second["sampling"]["seed"]) == (schema, 3, 1)
    assert (second["cost"], second["currency"], second["served_model"]) == (0.25, "USD", "served-teacher")
    assert first["created"].endswith("+00:00")
    assert [file.name for file in tmp_path.iterdir() if file.suffix == ".part"] == []

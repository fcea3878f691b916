"""A Ray cluster of two workers on this machine: the same results as in one process, also when workers die."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest
from benchmarks.simulated_teacher import TeacherConfig, TeacherProcess, teacher_process
from tests.unit.cli.small_lab import write_lab
from tests.unit.engine.worker_code import Counter, refuse, square, square_or_die
from tests.unit.tiny_model import make_tiny_student

from labtune.artifact import read_json, read_manifest
from labtune.config.engine import EngineConfig
from labtune.engine.engines import open_engine
from labtune.engine.ray import address_of, worker_shape
from labtune.engine.site import Site
from labtune.errors import ConfigError, EngineError, ModelError
from labtune.evaluation.answers import Answer, AnswerCache, ask, likelihoods
from labtune.models.distant import DistantModel, Hall, Seat
from labtune.models.endpoint.json_probe import PROBES
from labtune.models.hf import HfChatModel
from labtune.protocols import LikelihoodModel, Sampling
from labtune.types import ExamQuestion, Source
from labtune.workflow.lab import Lab
from labtune.workflow.run import run_lab

pytestmark = pytest.mark.ray

TWO = "engine={kind: ray, workers: 2}"


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """One cluster for all tests: engines use and leave what their process has joined."""
    ray = pytest.importorskip("ray")
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.fixture
def engine(tmp_path):
    with open_engine(EngineConfig(kind="ray", workers=2), Site(tmp_path)) as opened:
        yield opened


class Killer(threading.Thread):
    """Kills the first process that is found, as soon as there is one."""

    def __init__(self, find: Callable[[], list[psutil.Process]]) -> None:
        super().__init__(daemon=True)
        self._find = find
        self.victims: list[int] = []
        self.start()

    def run(self) -> None:
        deadline = time.monotonic() + 60
        while not self.victims and time.monotonic() < deadline:
            for process in self._find()[:1]:
                process.kill()
                self.victims.append(process.pid)
            time.sleep(0.02)


def ray_workers(task: str) -> list[psutil.Process]:
    """Worker processes below this one that are at this task."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if process.cmdline()[:1] and process.cmdline()[0].startswith(f"ray::{task}"):
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_shards_come_back_in_order_whoever_is_killed_and_stdout_stays_clean(tmp_path, capfd):
    told = []
    site = Site(tmp_path, lambda event, fields: told.append((event, fields["text"])))
    with open_engine(EngineConfig(kind="ray", workers=2), site) as engine:
        assert list(engine.map(square, range(20))) == [n * n for n in range(20)]
        pairs = [(n, tmp_path / "marker") for n in range(8)]
        assert list(engine.map(square_or_die, pairs)) == [n * n for n in range(8)]
        assert (tmp_path / "marker").exists()
        deadline = time.monotonic() + 20
        while not told and time.monotonic() < deadline:
            time.sleep(0.01)
    assert told[0][0] == "notice"
    assert told[0][1].startswith("Ray: ")
    assert capfd.readouterr().out == ""


def test_what_a_worker_raises_arrives_as_it_was(engine):
    with pytest.raises(ModelError, match="shard 7 is unusable") as caught:
        list(engine.map(refuse, [7]))
    assert (type(caught.value), caught.value.hint) == (ModelError, "mend it")


def test_hosts_are_made_anew_when_their_worker_is_killed(engine, tmp_path):
    with engine.host([partial(Counter, 10), Counter]) as (first, second):
        assert first.call("process").result() not in {second.call("process").result(), os.getpid()}
        assert first.call("add", 1).result() == 11
        assert first.call("die", tmp_path / "marker").result() == "alive"
        assert first.call("add", 1).result() == 11
        assert second.call("add_elsewhere", first, 1).result() == 12
        with pytest.raises(ModelError, match="stuck"):
            first.call("fail").result()


def test_a_worker_that_always_dies_is_an_engine_error(tmp_path):
    config = EngineConfig(kind="ray", workers=2, restarts=0)
    with open_engine(config, Site(tmp_path)) as engine, pytest.raises(EngineError, match="lost too often"):
        list(engine.map(square_or_die, [(3, tmp_path / "marker")]))


def test_an_address_of_a_ray_client_is_refused():
    with pytest.raises(ConfigError, match="Ray client"):
        address_of(EngineConfig(kind="ray", address="ray://head:10001"), {})
    assert address_of(EngineConfig(kind="ray"), {"RAY_ADDRESS": "auto"}) == "auto"
    assert address_of(EngineConfig(kind="ray", address="head:6379"), {"RAY_ADDRESS": "auto"}) == "head:6379"
    assert address_of(EngineConfig(kind="ray"), {}) == "local"


@pytest.mark.parametrize(
    ("settings", "cluster", "expected"),
    [
        ({}, {"CPU": 8.0}, (8, 1.0, 0.0)),
        ({"cpus_per_worker": 3}, {"CPU": 8.0}, (2, 3.0, 0.0)),
        ({}, {"CPU": 64.0, "GPU": 8.0}, (8, 1.0, 1.0)),
        ({"gpus_per_worker": 0.5}, {"CPU": 64.0, "GPU": 8.0}, (16, 1.0, 0.5)),
        ({"gpus_per_worker": 0, "workers": 4}, {"CPU": 64.0, "GPU": 8.0}, (4, 1.0, 0.0)),
        ({"cpus_per_worker": 4}, {"CPU": 2.0}, (1, 4.0, 0.0)),
    ],
)
def test_workers_follow_from_what_the_cluster_has(settings, cluster, expected):
    shape = worker_shape(EngineConfig(kind="ray", **settings), cluster)
    assert (shape.workers, shape.cpus, shape.gpus) == expected


def test_a_cluster_that_is_too_small_is_told(tmp_path):
    told = []
    site = Site(tmp_path, lambda event, fields: told.append((event, fields["text"])))
    with open_engine(EngineConfig(kind="ray", workers=50), site):
        assert told[0][0] == "notice"
        assert "50 workers of 1 need 50: waiting for it to grow" in told[0][1]


BUILTIN = json.dumps({"generate": {"phrasings": 6, "skill_variants": 2}})


def generated(root: Path, *overrides: str) -> str:
    """The content hash of the data set that `labtune generate` makes."""
    run_lab(Lab.open(root, overrides=overrides), until="generate")
    manifest = read_manifest(root / "runs" / "latest" / "generate")
    assert manifest is not None
    return manifest.id


def test_local_and_ray_generate_the_same_data_set_also_when_a_worker_is_killed(tmp_path):
    here = generated(write_lab(tmp_path / "here", 6, BUILTIN))
    root = write_lab(tmp_path / "there", 6, BUILTIN)
    killer = Killer(lambda: ray_workers("labtune-shard"))
    assert generated(root, TWO) == here
    assert killer.victims
    # The lab's engine is not part of what a stage depends on.
    report = run_lab(Lab.open(root), until="generate")
    assert report.nothing_done


def with_teacher(url: str, **endpoint: object) -> str:
    teacher = {"endpoint": url, "model": "simulated-teacher", **endpoint}
    return json.dumps({"teacher": teacher, "generate": {"pipeline": "simple", "target": 12, "rounds": 2}})


def asking(teacher: TeacherProcess) -> list[psutil.Process]:
    """Worker processes that are connected with the teacher, when it has answered a few requests."""
    if teacher.stats()["answered"] < 5:
        return []
    port = int(teacher.url.split(":")[2].split("/")[0])
    found = []
    for process in ray_workers("_Hosted"):
        try:
            if any(link.raddr and link.raddr.port == port for link in process.net_connections()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_workers_ask_a_teacher_and_nothing_is_paid_twice_when_one_is_killed(tmp_path):
    with teacher_process(TeacherConfig(latency_ms=30)) as teacher:
        here = generated(write_lab(tmp_path / "here", 3, with_teacher(teacher.url, max_concurrency=4)))
        total = teacher.stats()["answered"]
        teacher.reset()
        root = write_lab(tmp_path / "there", 3, with_teacher(teacher.url, max_concurrency=4))
        killer = Killer(lambda: asking(teacher))
        assert generated(root, TWO) == here
        assert killer.victims
        stats = teacher.stats()
        # The kill may cost what its worker had in flight: half of the four slots. Each worker that begins
        # finds out for itself how the endpoint takes schemas.
        assert stats["answered_twice"] <= 2 + len(PROBES)
        assert total <= stats["answered"] <= total + 2 + 3 * len(PROBES)
        assert stats["most_active"] <= 4
        manifest = read_manifest(root / "runs" / "latest" / "generate")
        assert manifest.counts["requests"] >= total - 6


def test_an_exam_on_workers_gives_the_same_answers_also_when_one_is_killed(tmp_path):
    student = make_tiny_student(tmp_path / "student")
    model = HfChatModel.load(student, name="student", device="cpu")
    asked = [question(n) for n in range(24)]
    pairs = [(one, answer) for one in asked for answer in ("It has 42 pumps.", "The sky is blue.")]

    def sit(model: LikelihoodModel) -> tuple[list[Answer], list[float]]:
        nothing = AnswerCache(None, "")
        sampling = Sampling(max_tokens=12)
        answers = ask(model, asked, sampling=sampling, batch_size=4, cache=nothing)
        return answers, likelihoods(model, pairs, batch_size=8, cache=nothing)

    here = sit(model)
    with (
        open_engine(EngineConfig(kind="ray", workers=2), Site(tmp_path)) as engine,
        engine.host([Seat, Seat]) as hosts,
    ):
        distant = DistantModel(Hall(hosts), student, name="student")
        assert distant.lanes == 2
        killer = Killer(lambda: [one for one in ray_workers("_Hosted") if one.memory_info().rss > 160 << 20])
        there = sit(distant)
        assert killer.victims
    assert there[0] == here[0]
    assert there[1] == pytest.approx(here[1], abs=1e-5)


def question(number: int) -> ExamQuestion:
    text = f"How many pumps does station {number} have{'?' * (number % 5 + 1)}"
    return ExamQuestion(
        str(number), "knowledge/tiny", text, "It has 42 pumps.", "test", Source("q", 1), "exam"
    )


WHOLE = {
    "generate": {"phrasings": 6, "skill_variants": 2},
    "mix": {"replay": False},
    "train": {
        "learning_rate": 2e-3,
        "batch_tokens": 640,
        "max_length": 256,
        "max_tokens": 6000,
        "evaluations": 1,
        "precision": "fp32",
        "replicas": 1,
    },
    "evaluate": {"max_new_tokens": 8, "retention_floor": 0},
}


def losses(run: Path) -> list[tuple[str, int, float]]:
    """Of each training step: phase, number, loss."""
    lines = [json.loads(line) for line in (run / "train" / "journal.jsonl").read_text().splitlines()]
    return [(one["phase"], one["step"], one["loss"]) for one in lines if one["event"] == "step"]


def test_one_lab_file_runs_whole_here_and_on_workers_to_the_same_data_losses_and_scores(tmp_path):
    student = make_tiny_student(tmp_path / "student")
    settings = json.dumps({**WHOLE, "student": str(student)})
    runs = []
    for name, overrides in (("here", []), ("there", [TWO])):
        report = run_lab(Lab.open(write_lab(tmp_path / name, 2, settings), overrides=overrides))
        assert [stage.state for stage in report.stages] == ["done"] * 5
        runs.append(report.run_dir)
    here, there = runs
    for stage in ("curate", "generate", "mix"):
        assert read_manifest(here / stage).id == read_manifest(there / stage).id, stage
    assert len(losses(here)) >= 2
    for (*step, loss), (*other, found) in zip(losses(here), losses(there), strict=True):
        assert step == other
        assert found == pytest.approx(loss, abs=1e-6)
    scores = [read_json(run / "evaluate" / "scores.json") for run in runs]
    assert scores[0]["total"]["tuned"]["n"] == scores[1]["total"]["tuned"]["n"] > 0
    assert scores[0]["total"]["tuned"]["f1"] == pytest.approx(scores[1]["total"]["tuned"]["f1"], abs=0.02)
    assert scores[0]["retention"]["base"] == scores[1]["retention"]["base"]

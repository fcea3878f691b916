"""The engine that is this process, and the table of engines."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest
from tests.unit.engine.worker_code import Counter, refuse, square

from labtune.config.engine import EngineConfig
from labtune.config.layers import load
from labtune.engine.engines import ENGINES, open_engine
from labtune.engine.site import Site
from labtune.errors import ConfigError, ModelError


def lab_file(folder: Path, text: str) -> Path:
    path = folder / "labtune.yaml"
    path.write_text(text)
    return path


def test_shards_are_done_one_by_one_as_they_are_asked_for(tmp_path):
    seen = []
    with open_engine(EngineConfig(), Site(tmp_path)) as engine:
        results = engine.map(lambda n: seen.append(n) or square(n), [3, 4])
        assert (seen, engine.workers, engine.gang) == ([], 1, 1)
        assert (next(results), seen) == (9, [3])
        with pytest.raises(ModelError, match="shard 7 is unusable"):
            list(engine.map(refuse, [7]))


def test_hosts_keep_their_state_and_tell_their_errors(tmp_path):
    with (
        open_engine(EngineConfig(), Site(tmp_path)) as engine,
        engine.host([partial(Counter, 10), Counter]) as (first, second),
    ):
        assert [first.call("add", 1).result(), first.call("add", 1).result()] == [11, 12]
        assert second.call("add", 5).result() == 5
        assert second.call("process").result() == os.getpid()
        with pytest.raises(ModelError, match="stuck"):
            first.call("fail").result()


def test_an_engine_may_be_one_word_and_a_later_layer_replaces_it_whole(tmp_path):
    file = lab_file(tmp_path, "engine: {kind: ray, address: 'head:6379', workers: 8}\n")
    engine = load(file, environment={}).lab.engine
    assert (engine.kind, engine.address, engine.workers) == ("ray", "head:6379", 8)
    here = load(file, overrides=["engine=local"], environment={}).lab.engine
    assert here == EngineConfig()
    assert load(file, environment={"LABTUNE_ENGINE__WORKERS": "2"}).lab.engine.workers == 2
    processes = load(file, overrides=["engine={kind: torchrun, processes: 2}"], environment={}).lab.engine
    assert (processes.kind, processes.processes, processes.address) == ("torchrun", 2, None)
    assert load(lab_file(tmp_path, "engine: ray\n"), environment={}).lab.engine.kind == "ray"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("engine: {kind: ray, processes: 2}", "engine 'ray' has no 'processes'"),
        ("engine: {kind: torchrun, workers: 2}", "engine 'torchrun' has no 'workers'"),
        ("engine: {kind: ray, worker: 2}", "did you mean 'engine.workers'"),
        ("engine: {kind: ray, workers: 0}", "engine.workers: Input should be greater than or equal to 1"),
    ],
)
def test_a_wrong_engine_setting_is_told(tmp_path, text, told):
    with pytest.raises(ConfigError) as caught:
        load(lab_file(tmp_path, text + "\n"), environment={})
    assert told in f"{caught.value.message} {caught.value.hint}"


def test_an_unknown_engine_is_told_with_the_nearest(tmp_path):
    assert ENGINES.names() == ["local", "ray", "torchrun"]
    with pytest.raises(ConfigError, match="no engine called 'rai'") as caught:
        open_engine(EngineConfig(kind="rai"), Site(tmp_path))
    assert caught.value.hint == "did you mean 'ray'?"

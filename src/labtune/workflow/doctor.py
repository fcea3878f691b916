"""What this machine and this lab can do: each line is ok, a warning, or a failure with its mend.

A failure means that the embedded default (built-in teacher, nano student, this machine) cannot work.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from labtune import __version__
from labtune.config.endpoint import ANY_MODEL, EndpointConfig
from labtune.config.layers import load
from labtune.errors import ConfigError, LabtuneError
from labtune.workflow.lab import LAB_FILE, Lab, find_lab

State = Literal["ok", "warn", "fail"]

LEAST_MEMORY_GIB = 2.0
LEAST_DISK_GIB = 2.0
PROBE_SECONDS = 120

EXTRAS = {
    "core": ("typer", "rich", "pydantic", "PyYAML", "ruamel.yaml", "kreuzberg", "aiohttp", "jinja2"),
    "train": ("torch", "transformers", "trl", "accelerate", "datasets", "prompt_toolkit"),
}
"""Distributions that each extra brings; the embedded default needs all of them."""

_PROBE = """\
import json, torch
print(json.dumps({
    "version": torch.__version__,
    "threads": torch.get_num_threads(),
    "cuda": [
        [torch.cuda.get_device_name(i), torch.cuda.get_device_properties(i).total_memory]
        for i in range(torch.cuda.device_count())
    ],
    "mps": torch.backends.mps.is_available(),
}))
"""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report. `mend` says what to do; it is empty when all is well."""

    name: str
    state: State
    found: str
    mend: str = ""


def examine(start: Path, *, overrides: Sequence[str] = ()) -> Iterator[Check]:
    """Check this machine and the lab that holds `start`; lines come as they are found."""
    yield _python()
    yield _platform()
    yield _cores()
    yield _memory()
    yield _disk(start)
    yield from _packages()
    yield _torch()
    yield _student()
    yield _git()
    yield from examine_lab(start, overrides=overrides)


def _python() -> Check:
    return Check("python", "ok", f"{platform.python_version()} ({sys.executable}), labtune {__version__}")


def _platform() -> Check:
    name = f"{platform.system()} {platform.release()} on {platform.machine()}"
    if os.name == "posix":
        return Check("platform", "ok", name)
    return Check("platform", "fail", name, "run labtune on Linux, macOS or in WSL")


def _cores() -> Check:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    return Check("cores", "ok", f"{count} usable")


def _memory() -> Check:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    limit = _memory_limit()
    size = min(total, limit) if limit is not None else total
    if size >= LEAST_MEMORY_GIB:
        return Check("memory", "ok", f"{size:.1f} GiB")
    return Check("memory", "warn", f"{size:.1f} GiB", f"training wants about {LEAST_MEMORY_GIB:.0f} GiB")


def _memory_limit() -> float | None:
    """The control group's limit in GiB (containers), or None."""
    try:
        text = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) / 2**30 if text.isdigit() else None


def _disk(start: Path) -> Check:
    free = shutil.disk_usage(start.resolve() if start.exists() else Path.cwd()).free / 2**30
    if free >= LEAST_DISK_GIB:
        return Check("disk", "ok", f"{free:.1f} GiB free")
    return Check("disk", "warn", f"{free:.1f} GiB free", f"make room: {LEAST_DISK_GIB:.0f} GiB for a run")


def _packages() -> Iterator[Check]:
    for extra, names in EXTRAS.items():
        versions, missing = [], []
        for name in names:
            try:
                versions.append(f"{name} {version(name)}")
            except PackageNotFoundError:
                missing.append(name)
        install = "pip install labtune" if extra == "core" else f"pip install 'labtune[{extra}]'"
        if missing:
            yield Check(f"packages [{extra}]", "fail", f"missing: {', '.join(missing)}", install)
        else:
            yield Check(f"packages [{extra}]", "ok", ", ".join(versions))


def _torch() -> Check:
    # In a child: a broken build of torch can take the process down, and a good one takes seconds to load.
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE], capture_output=True, text=True, timeout=PROBE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return Check("torch", "fail", f"did not load in {PROBE_SECONDS} s", "pip install -U torch")
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        reason = lines[-1] if lines else f"ended with code {done.returncode}"
        return Check("torch", "fail", f"does not load: {reason}", "pip install 'labtune[train]'")
    found = json.loads(done.stdout.strip().splitlines()[-1])
    devices = [f"{name} ({size / 2**30:.0f} GiB)" for name, size in found["cuda"]]
    devices += ["Apple GPU (MPS)"] if found["mps"] else []
    return Check("torch", "ok", f"{found['version']}, {', '.join(devices) or 'CPU only'}")


def _student() -> Check:
    from labtune.builtin import GENERAL_EXAM, NANO, REPLAY

    missing = [path.name for path in (NANO / "model.safetensors", GENERAL_EXAM, REPLAY) if not path.is_file()]
    if missing:
        mend = "reinstall labtune: its package is incomplete"
        return Check("student", "fail", f"builtin:nano lacks {', '.join(missing)}", mend)
    size = sum(path.stat().st_size for path in NANO.iterdir()) / 2**20
    return Check("student", "ok", f"builtin:nano, {size:.1f} MiB")


def _git() -> Check:
    path = shutil.which("git")
    if path is None:
        return Check("git", "warn", "not found", "install git, if documents or taxonomies lie in git")
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    return Check("git", "ok", done.stdout.strip() or path)


def examine_lab(start: Path, *, overrides: Sequence[str] = ()) -> Iterator[Check]:
    """Check the lab that holds `start`, if there is one, and its cache."""
    try:
        if find_lab(start) is None:
            load(None, overrides=overrides)
            mend = "labtune init --example customer-service DIR"
            yield Check("lab", "warn", f"none in {start.resolve()}", mend)
            return
        lab = Lab.open(start, overrides=overrides)
        folder = lab.taxonomy_root
    except LabtuneError as error:
        yield Check("lab", "fail", error.message, error.hint or f"mend {LAB_FILE}")
        return
    yield Check("lab", "ok", f"{lab.root}, taxonomy {folder}, student {lab.config.lab.student}")
    yield _writable(lab.cache_dir)


def examine_endpoint(
    start: Path, endpoint: str, *, model: str | None, key_env: str | None, overrides: Sequence[str] = ()
) -> Iterator[Check]:
    """Prove what an endpoint can do; lines come as they are found.

    The settings of the lab's teacher or judge are taken over when it is the same endpoint.

    Raises:
        EndpointError: it cannot be used.
        ConfigError: the URL or the name of the key's variable is malformed, or the variable is empty.
    """
    from labtune.models.endpoint.diagnose import diagnose

    config, cache_dir = _endpoint_config(start, endpoint, (model, key_env), overrides)
    with asyncio.Runner() as runner:
        lines = diagnose(config, cache_dir)

        async def following() -> Check | None:
            async for line in lines:
                return Check(line.name, line.state, line.found, line.mend)
            return None

        while (check := runner.run(following())) is not None:
            yield check


def _endpoint_config(
    start: Path, endpoint: str, wanted: tuple[str | None, str | None], overrides: Sequence[str]
) -> tuple[EndpointConfig, Path | None]:
    model, key_env = wanted
    given = {"endpoint": endpoint, "model": model or "", "api_key_env": key_env}
    try:
        config = EndpointConfig.model_validate({**given, "model": model or ANY_MODEL})
    except ValidationError as error:
        first = error.errors()[0]
        name = {"endpoint": "--endpoint", "api_key_env": "--key-env"}.get(str(first["loc"][0]), "--model")
        raise ConfigError(f"{name}: {first['msg'].removeprefix('Value error, ')}") from error
    if find_lab(start) is None:
        return config, None
    lab = Lab.open(start, overrides=overrides)
    for role in (lab.config.lab.teacher, lab.config.lab.judge):
        if isinstance(role, EndpointConfig) and role.endpoint == config.endpoint:
            update = {name: value for name, value in given.items() if value and name != "endpoint"}
            return role.model_copy(update=update), lab.cache_dir
    return config, lab.cache_dir


def _writable(folder: Path) -> Check:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as stream:
            stream.write(b"labtune")
    except OSError as error:
        return Check("cache", "fail", f"{folder}: {error.strerror}", f"make {folder} writable")
    return Check("cache", "ok", str(folder))

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
from typing import Any, Literal

from pydantic import ValidationError

from labtune import __version__
from labtune.config.endpoint import ANY_MODEL, EndpointConfig
from labtune.config.layers import load
from labtune.errors import ConfigError, LabtuneError
from labtune.training.fit import gib
from labtune.training.machine import Machine, host_memory, processor, with_limit
from labtune.workflow.lab import LAB_FILE, Lab, find_lab
from labtune.workflow.prospects import Outlook, look_ahead

State = Literal["ok", "warn", "fail"]

LEAST_MEMORY_GIB = 2.0
LEAST_DISK_GIB = 2.0
PROBE_SECONDS = 120

EXTRAS = {
    "core": ("typer", "rich", "pydantic", "PyYAML", "ruamel.yaml", "kreuzberg", "aiohttp", "jinja2"),
    "train": ("torch", "transformers", "trl", "accelerate", "datasets", "peft", "prompt_toolkit"),
    "serve": ("xllamacpp", "gguf"),
    "ray": ("ray",),
}
"""Distributions that each extra brings."""

NEEDED = ("core", "train")
"""Extras without which the embedded default does not work."""

_PROBE = """\
import json, torch
def gpu(i):
    free, total = torch.cuda.mem_get_info(i)
    major, minor = torch.cuda.get_device_capability(i)
    return {"name": torch.cuda.get_device_name(i), "free": free, "total": total,
            "capability": f"{major}.{minor}", "bf16": torch.cuda.is_bf16_supported(i)}
mps = torch.backends.mps.is_available()
print(json.dumps({
    "version": torch.__version__,
    "cuda_version": torch.version.cuda,
    "cuda": [gpu(i) for i in range(torch.cuda.device_count())],
    "mps": {"free": torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory(),
            "total": torch.mps.recommended_max_memory()} if mps else None,
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
    yield from _torch()
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
    return Check("cores", "ok", processor())


def _memory() -> Check:
    free, total = host_memory()
    found = f"{gib(free)} free of {gib(total)}"
    if free >= LEAST_MEMORY_GIB * 2**30:
        return Check("memory", "ok", found)
    mend = f"close other programs: training wants about {LEAST_MEMORY_GIB:.0f} GiB"
    return Check("memory", "warn", found, mend)


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
            state: State = "fail" if extra in NEEDED else "warn"
            yield Check(f"packages [{extra}]", state, f"missing: {', '.join(missing)}", install)
        else:
            yield Check(f"packages [{extra}]", "ok", ", ".join(versions))


def _torch() -> Iterator[Check]:
    found = _probe()
    if isinstance(found, Check):
        yield found
        return
    cuda = f", CUDA {found['cuda_version']}" if found["cuda_version"] else ""
    yield Check("torch", "ok", f"{found['version']}{cuda}")
    for number, gpu in enumerate(found["cuda"]):
        memory = f"{gib(gpu['free'])} free of {gib(gpu['total'])}"
        said = f"{gpu['name']}, {memory}, compute capability {gpu['capability']}"
        mend = "" if gpu["bf16"] else "it has no bf16: train with --set train.precision=fp32"
        yield Check(f"accelerator {number}", "warn" if mend else "ok", said, mend)
    if found["mps"]:
        yield Check("accelerator 0", "ok", f"Apple GPU (MPS), {gib(found['mps']['total'])} at most")
    if not found["cuda"] and not found["mps"]:
        yield Check("accelerators", "ok", "none that torch can use: the student is tuned on the CPU")


def _probe() -> dict[str, Any] | Check:
    """What torch finds here, or what is wrong with it."""
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
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def machine_to_train_on(device: str) -> Machine:
    """What `train.device` means here, asked in a child process; the CPU where torch does not load."""
    found = None if device == "cpu" else _probe()
    if isinstance(found, dict):
        if device in ("auto", "cuda") and found["cuda"]:
            gpu = found["cuda"][0]
            return Machine("cuda", gpu["name"], gpu["free"], gpu["total"])
        if device in ("auto", "mps") and found["mps"]:
            return Machine(
                "mps", "Apple GPU", min(found["mps"]["free"], host_memory()[0]), found["mps"]["total"]
            )
    free, total = host_memory()
    return Machine("cpu", processor(), free, total)


def examine_student(start: Path, reference: str | None, *, overrides: Sequence[str] = ()) -> Outlook:
    """What each tuning method could do on this machine for a student; nothing of it is loaded.

    Args:
        start: a lab, or any folder.
        reference: `builtin:NAME`, a folder or a hub id; None = the lab's student.
        overrides: settings as in `--set`.

    Raises:
        ModelError: there is no such student, or it cannot be read.
    """
    root = find_lab(start)
    chosen = [] if reference is None else [f"student={json.dumps({'model': reference})}"]
    config = load(root / LAB_FILE if root else None, overrides=[*overrides, *chosen])
    train = config.lab.train
    machine = with_limit(machine_to_train_on(train.device), train.memory_gib)
    return look_ahead(config, machine, base=root or start, lab=root)


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
    yield _lab_student(lab)
    yield _writable(lab.cache_dir)


def _lab_student(lab: Lab) -> Check:
    """The lab's own student as far as it is here: whether its files are sound, and its licence."""
    from labtune.models.student import is_here, origin_of, resolve_student

    student = lab.config.lab.student
    if not is_here(student, lab.root):
        return Check(
            "lab's student", "warn", f"{student} is not on this machine yet", "labtune run fetches it"
        )
    try:
        origin = origin_of(student, resolve_student(student, base=lab.root))
    except LabtuneError as error:
        return Check("lab's student", "fail", error.message, error.hint or f"mend {LAB_FILE}")
    commit = f", commit {origin.revision[:12]}" if origin.revision else ""
    licence = f"licence {origin.licence}" if origin.licence else "no licence told"
    return Check("lab's student", "ok", f"{origin.name}{commit}, {licence}")


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

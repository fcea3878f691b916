"""What is at hand for a training: the device and how much of its memory is free now."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from labtune.training.estimate import Device

_CGROUPS = (
    (Path("/sys/fs/cgroup"), "memory.max", "memory.current"),
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes"),
)
_MEMINFO = Path("/proc/meminfo")
_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class Machine:
    """A device to train on.

    Attributes:
        device: its kind.
        name: as its maker calls it.
        free: bytes that a training may take.
        total: bytes it has.
    """

    device: Device
    name: str
    free: int
    total: int


def this_machine(device: str = "auto") -> Machine:
    """The device that `train.device` means here. Loads torch, unless `device` is `cpu`.

    Raises:
        ModelError: the machine has no such device.
    """
    kind = "cpu" if device == "cpu" else _kind(device)
    if kind == "cuda":
        import torch

        free, total = torch.cuda.mem_get_info()
        return Machine("cuda", torch.cuda.get_device_name(), int(free), int(total))
    free, total = host_memory()
    if kind == "mps":
        import torch

        most = int(torch.mps.recommended_max_memory())
        # Memory is shared with everything else on the machine.
        return Machine("mps", "Apple GPU", min(most - int(torch.mps.driver_allocated_memory()), free), most)
    return Machine("cpu", processor(), free, total)


def processor() -> str:
    """The processor's name and how many of its cores this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    name = platform.processor() or platform.machine()
    if _CPUINFO.exists():
        found = re.search(r"^model name\s*:\s*(.+)$", _CPUINFO.read_text(encoding="utf-8"), re.MULTILINE)
        name = found.group(1).strip() if found else name
    return f"{name}, {cores} core{'s' if cores > 1 else ''}"


def _kind(device: str) -> str:
    from labtune.models.device import accelerators, choose

    return choose(device, accelerators())


def with_limit(machine: Machine, gib: float | None) -> Machine:
    """The same with `train.memory_gib` in force, which replaces what is free."""
    if gib is None:
        return machine
    free = int(gib * 2**30)
    return Machine(machine.device, machine.name, free, max(free, machine.total))


def host_memory() -> tuple[int, int]:
    """(free, total) bytes of this machine's memory, as far as the container's limit lets through."""
    free, total = _system_memory()
    for root, limit_name, used_name in _CGROUPS:
        limit, used = _read_number(root / limit_name), _read_number(root / used_name)
        if limit is not None and used is not None and limit < total:
            # Pages of files that can be dropped at any time count as used, and are not.
            free = min(free, limit - max(0, used - _droppable(root / "memory.stat")))
            total = limit
    return max(0, free), total


def _system_memory() -> tuple[int, int]:
    if _MEMINFO.exists():
        found = dict(re.findall(r"^(\w+):\s+(\d+) kB", _MEMINFO.read_text(encoding="ascii"), re.MULTILINE))
        if "MemAvailable" in found and "MemTotal" in found:
            return int(found["MemAvailable"]) * 1024, int(found["MemTotal"]) * 1024
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        import psutil  # type: ignore[import-untyped]
    except ImportError:
        # Half of the memory is the usual share of a desktop's programs.
        return total // 2, total
    return cast(int, psutil.virtual_memory().available), total


def _read_number(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _droppable(stat: Path) -> int:
    try:
        found = re.search(r"^(?:total_)?inactive_file (\d+)$", stat.read_text(encoding="ascii"), re.MULTILINE)
    except OSError:
        return 0
    return int(found.group(1)) if found else 0

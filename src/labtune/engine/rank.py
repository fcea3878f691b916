"""One process of a gang: joins the others, does the work, and leaves a file when it fails.

`python -m labtune.engine.rank TARGET ARGUMENT FAILURE`, started by torchrun; Ray calls `work_in_gang`.
"""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from pathlib import Path

from labtune.engine.failure import keep_failure, kept_failure
from labtune.engine.lifeline import die_with_parent
from labtune.engine.local import entry_point
from labtune.errors import LabtuneError

PATIENCE = timedelta(hours=12)
"""How long processes wait for each other: the first sits the exam alone, and that may take its time."""
GPU_BACKEND = "cpu:gloo,cuda:nccl"


def work_in_gang(target: str, argument: str, failure: str) -> None:
    """Run `module:function` with `argument` in a process that has joined its gang.

    A failure of the work itself would come again, so restarted processes fail with it at once.

    Raises:
        LabtuneError: as the work did, now or in an earlier attempt.
    """
    path = Path(failure)
    earlier = kept_failure(path)
    if earlier is not None:
        raise earlier
    try:
        entry_point(target)(argument)
    except LabtuneError as error:
        keep_failure(path, error)
        raise


def join_gang() -> None:
    """Join the processes that torchrun started, over NCCL for GPUs and Gloo for the rest."""
    import torch
    from torch import distributed
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    has_gpu = torch.cuda.is_available()
    if has_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    store, rank, size = next(rendezvous("env://", timeout=PATIENCE))
    # torchrun's agent keeps one store for all attempts, in which the addresses of lost processes still stand.
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    distributed.init_process_group(
        GPU_BACKEND if has_gpu else "gloo",
        store=PrefixStore(f"attempt-{attempt}", store),
        rank=rank,
        world_size=size,
        timeout=PATIENCE,
    )


def main() -> None:
    """Be one process of torchrun's gang."""
    die_with_parent(os.getppid())
    from torch import distributed

    target, argument, failure = sys.argv[1:]
    join_gang()
    try:
        work_in_gang(target, argument, failure)
    finally:
        distributed.destroy_process_group()
    sys.stdout.flush()
    sys.stderr.flush()
    # All is written. Threads of the libraries may abort a process that is done, when Python takes them down.
    os._exit(0)


if __name__ == "__main__":
    main()

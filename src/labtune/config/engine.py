"""Where the work is done: in this process, on a Ray cluster, or by several processes of this machine."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from labtune.config.section import Section


class EngineConfig(Section):
    """Where stages run. It decides how fast a result is there, never what it is."""

    kind: str = Field(
        "local",
        description="local = in this process; ray = generation, evaluation and tuning on a Ray cluster; "
        "torchrun = tuning in several processes of this machine; or the name of an installed engine.",
    )
    address: str | None = Field(
        None,
        description="Ray cluster to join, such as `auto` or `10.0.0.5:6379`; None = $RAY_ADDRESS, or else a "
        "cluster on this machine that ends with the command.",
    )
    workers: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="Ray workers at once; None = one a GPU of the cluster or, without GPUs, one for each "
        "`cpus_per_worker` cores.",
    )
    cpus_per_worker: float = Field(
        1.0, gt=0, description="Cores that a Ray worker gets, its threads included."
    )
    gpus_per_worker: float | None = Field(
        None, ge=0, description="GPUs that a Ray worker gets; None = 1 on a cluster with GPUs, else 0."
    )
    processes: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Processes that tune side by side under torchrun; None = one a GPU, or 1.",
    )
    sharding: Literal["ddp", "fsdp"] = Field(
        "ddp",
        description="What each tuning process holds: ddp = the whole student; fsdp = its share of weights, "
        "gradients and optimiser (FSDP2).",
    )
    restarts: int = Field(
        3, ge=0, le=1000, description="Times that lost workers are replaced before the stage fails."
    )

    @property
    def has_workers(self) -> bool:
        """Whether generation and evaluation go to workers; else only tuning may."""
        return self.kind not in ("local", "torchrun")

    @model_validator(mode="after")
    def _only_what_the_kind_knows(self) -> EngineConfig:
        foreign = {
            "ray": ("processes",),
            "torchrun": ("address", "workers", "gpus_per_worker"),
            "local": ("address", "workers", "gpus_per_worker", "processes"),
        }.get(self.kind, ())
        for name in foreign:
            if getattr(self, name) is not None:
                raise ValueError(f"engine {self.kind!r} has no {name!r}")
        return self

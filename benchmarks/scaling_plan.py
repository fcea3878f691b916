"""The paper plan of docs/scaling.md: from one GPU to 10^9 samples, every assumption named.

python -m benchmarks.scaling_plan              the tables
python -m benchmarks.scaling_plan --set gpu_usd_per_hour=1.9 teacher_decode_tokens_per_s=4000
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

GIB = 2.0**30
DAY_S = 86_400.0


@dataclass(frozen=True)
class Assumption:
    """One figure: its value, its unit, and where it comes from."""

    value: float
    unit: str
    source: str


def measured(value: float, unit: str, where: str) -> Assumption:
    return Assumption(value, unit, f"measured: {where}")


def assumed(value: float, unit: str, why: str) -> Assumption:
    return Assumption(value, unit, f"assumed: {why}")


_RUN = "example customer-service, pipeline full, simulated teacher (1,707 requests, 521 samples)"


Plan = Mapping[str, Assumption]

ASSUMPTIONS: Plan = {
    "requests_per_sample": measured(3.28, "requests", _RUN),
    "prompt_tokens_per_sample": measured(831, "tokens", _RUN),
    "reply_tokens_per_sample": assumed(
        300, "tokens", "real teachers write longer than the simulated one (98)"
    ),
    "teacher_prefill_tokens_per_s": assumed(
        20_000, "tokens/s a GPU", "a teacher of 13 billion active parameters on H100s, prefixes cached"
    ),
    "teacher_decode_tokens_per_s": assumed(
        2_500, "tokens/s a GPU", "the same, full batches; measure yours: labtune doctor --endpoint"
    ),
    "gpu_usd_per_hour": assumed(2.5, "USD", "an H100 by the hour, without commitment"),
    "sample_bytes": measured(1_593, "bytes", f"samples.jsonl; {_RUN}"),
    "journal_bytes_per_request": measured(1_104, "bytes", f"journal.sqlite; {_RUN}"),
    "client_ms_per_request": measured(
        0.59, "ms of one core", "docs/measurements/generation-stream.json, 32 slots"
    ),
    "ledger_requests_per_s": measured(
        460, "requests/s", "benchmarks/ledger_speed.py, Ray on two cores that eight others used as well"
    ),
    "driver_gib": assumed(64, "GiB", "memory of the node that drives the run"),
    "samples_per_leaf": assumed(
        10_000, "samples", "a leaf of about 3,300 sentences; the default is 3 samples a sentence"
    ),
    "trained_tokens_per_sample": assumed(
        1_000, "tokens", "about 150 tokens a row, 4 passes, and as much again for replay and second forms"
    ),
    "student_parameters": assumed(8e9, "parameters", "an 8B student, all of them tuned"),
    "gpu_flops": assumed(989e12, "FLOP/s", "H100 SXM, bf16 without sparsity, data sheet"),
    "mfu": assumed(0.4, "of that", "packed rows of 4k; benchmarks/gpu_training.py measures it"),
    "row_bytes_per_token": measured(
        8, "bytes", "int32 ids and labels of training/rows.py, held by every process"
    ),
}
"""All that the arithmetic rests on."""


@dataclass(frozen=True)
class Figures:
    """What one size of data set comes to."""

    samples: float
    requests: float
    teacher_gpu_hours: float
    tuning_gpu_hours: float
    usd: float
    journal_gib: float
    samples_gib: float
    leaves: float
    ledger_days: float
    driver_gib: float
    rows_gib: float


def figures(plan: Plan, samples: float) -> Figures:
    """The arithmetic."""
    requests = samples * plan["requests_per_sample"].value
    teacher_s = samples * (
        plan["prompt_tokens_per_sample"].value / plan["teacher_prefill_tokens_per_s"].value
        + plan["reply_tokens_per_sample"].value / plan["teacher_decode_tokens_per_s"].value
    )
    flops = 6 * plan["student_parameters"].value * samples * plan["trained_tokens_per_sample"].value
    tuning_s = flops / (plan["gpu_flops"].value * plan["mfu"].value)
    return Figures(
        samples=samples,
        requests=requests,
        teacher_gpu_hours=teacher_s / 3600,
        tuning_gpu_hours=tuning_s / 3600,
        usd=(teacher_s + tuning_s) / 3600 * plan["gpu_usd_per_hour"].value,
        journal_gib=requests * plan["journal_bytes_per_request"].value / GIB,
        samples_gib=samples * plan["sample_bytes"].value / GIB,
        leaves=max(1, samples / plan["samples_per_leaf"].value),
        ledger_days=requests / plan["ledger_requests_per_s"].value / DAY_S,
        # Results wait in memory, as text, until all leaves are there.
        driver_gib=samples * plan["sample_bytes"].value / GIB,
        rows_gib=samples * 150 * plan["row_bytes_per_token"].value / GIB,
    )


@dataclass(frozen=True)
class Limit:
    """What breaks: how many samples it takes, and what to do then."""

    what: str
    samples: float
    remedy: str


def limits(plan: Plan) -> list[Limit]:
    """What breaks, the first first."""
    driver = plan["driver_gib"].value * GIB
    requests_per_day = plan["ledger_requests_per_s"].value * DAY_S
    client_per_day = DAY_S * 1000 / plan["client_ms_per_request"].value
    found = [
        Limit(
            "engine local: one process asks (one core), in a week",
            7 * client_per_day / plan["requests_per_sample"].value,
            "engine ray: as many askers as workers",
        ),
        Limit(
            "one ledger answers for all workers, in a week",
            7 * requests_per_day / plan["requests_per_sample"].value,
            "several labs: a journal and a ledger each",
        ),
        Limit(
            f"the driver holds all samples ({plan['driver_gib'].value:g} GiB)",
            driver / plan["sample_bytes"].value,
            "several labs, mixed by `mix.sources`",
        ),
        Limit(
            "each tuning process holds all rows "
            f"({plan['driver_gib'].value:g} GiB, 8 processes a node share nothing)",
            driver / 8 / (150 * plan["row_bytes_per_token"].value),
            "fewer rows a run; rows in a memory-mapped file are the next step",
        ),
        Limit(
            "one journal file of 1 TiB",
            1024 * GIB / (plan["journal_bytes_per_request"].value * plan["requests_per_sample"].value),
            "several labs; labtune journal export",
        ),
    ]
    return sorted(found, key=lambda one: one.samples)


SIZES = (1e4, 1e5, 1e6, 1e7, 1e8, 1e9)


def size(number: float) -> str:
    """10^n."""
    return f"10^{len(f'{number:.0f}') - 1}"


def number(value: float) -> str:
    """Two significant digits, thousands separated."""
    if value >= 100:
        digits = len(f"{value:.0f}") - 2
        return f"{round(value, -digits):,.0f}"
    return f"{value:.2g}"


COLUMNS: Mapping[str, Callable[[Figures], str]] = {
    "samples": lambda one: size(one.samples),
    "leaves": lambda one: number(one.leaves),
    "requests": lambda one: number(one.requests),
    "teacher GPU hours": lambda one: number(one.teacher_gpu_hours),
    "tuning GPU hours": lambda one: number(one.tuning_gpu_hours),
    "USD": lambda one: number(one.usd),
    "journal GiB": lambda one: number(one.journal_gib),
    "samples GiB": lambda one: number(one.samples_gib),
    "days of one ledger": lambda one: number(one.ledger_days),
    "rows in memory GiB": lambda one: number(one.rows_gib),
}


def table(head: list[str], rows: list[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def fleet(plan: Plan) -> list[list[str]]:
    """How long the teacher works, by the number of its GPUs."""
    rows = []
    for gpus in (1, 8, 64, 512):
        days = [figures(plan, samples).teacher_gpu_hours / gpus / 24 for samples in SIZES]
        rows.append([str(gpus), *(number(one) for one in days)])
    return rows


def report(plan: Plan) -> str:
    """The tables as Markdown."""
    given = [[name, f"{one.value:g}", one.unit, one.source] for name, one in plan.items()]
    sizes = [figures(plan, samples) for samples in SIZES]
    parts = [
        "### Assumptions",
        *table(["name", "value", "unit", "source"], given),
        "",
        "### What it comes to",
        *table(list(COLUMNS), [[show(one) for show in COLUMNS.values()] for one in sizes]),
        "",
        "### Days of the teacher, by its GPUs",
        *table(["GPUs", *map(size, SIZES)], fleet(plan)),
        "",
        "### What breaks first",
        *table(
            ["what", "at samples", "then"],
            [[one.what, number(one.samples), one.remedy] for one in limits(plan)],
        ),
    ]
    return "\n".join(parts) + "\n"


def with_settings(plan: Plan, settings: list[str]) -> Plan:
    """The plan with other figures, each `name=value`."""
    given = dict(plan)
    for setting in settings:
        name, _, value = setting.partition("=")
        if name not in given:
            raise SystemExit(f"there is no assumption {name!r}")
        given[name] = Assumption(float(value), given[name].unit, "given")
    return given


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    print(report(with_settings(ASSUMPTIONS, parser.parse_args().set)), end="")


if __name__ == "__main__":
    main()

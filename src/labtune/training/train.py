"""The training stage: dataset in, tuned student out, phase by phase; what was interrupted goes on."""

from __future__ import annotations

import gc
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from labtune.artifact import Dataset, content_hash, file_hash, read_json, write_json, write_text
from labtune.config.lab import TrainConfig
from labtune.errors import MissingDependencyError
from labtune.models.device import accelerators, check_precision, choose
from labtune.models.hf import HfChatModel, check_vocabulary, load_tokenizer, stop_tokens
from labtune.models.template import check_template, show_example
from labtune.training.journal import Journal
from labtune.types import Json, RunContext, StageOutcome

if TYPE_CHECKING:
    from labtune.training.distributed import Gang
    from labtune.training.fitting import Fitting
    from labtune.training.gauge import Gauge

JOURNAL = "journal.jsonl"
METRICS = "metrics.json"
EXAMPLE = "example.txt"
MODEL = "model"
RESUME = ".resume"
CEILINGS = "ceilings.json"


def train(
    dataset: Dataset,
    *,
    config: TrainConfig,
    run: RunContext,
    student: Path,
    select: Callable[[HfChatModel], float],
    sharding: str = "ddp",
) -> StageOutcome:
    """Tune `student` on the phases of `dataset`; the result is in `run.out_dir`.

    Writes `model/` (the tested and shipped weights, bf16 safetensors with tokenizer and template),
    `journal.jsonl`, `example.txt` and `metrics.json`. Calling it again after an interruption, with the same
    arguments, goes on from the last resume point and ends with the same bytes in `model/`.

    Args:
        dataset: rows of each phase.
        config: how to tune.
        run: folder, seed and event sink.
        student: folder of the model to tune.
        select: score of a model on the development exam, 0..1, deterministic; higher is better. It chooses
            the checkpoint of each phase that starts the next and, in the last, that is shipped.
        sharding: what each of several processes holds: `ddp` all, `fsdp` its share. They are those of
            torch.distributed, if this process has joined any; all call this, the first writes and selects.

    Raises:
        TrainingError: the template cannot be trained with, or training broke down.
        ModelError: the student cannot be loaded.
        DataError: the dataset is malformed.
    """
    try:
        import trl  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError.for_extra("trl", "train") from error
    from labtune.models.weights import read_object
    from labtune.training.distributed import device_of, join
    from labtune.training.fitting import Fitting
    from labtune.training.loss import carries_state
    from labtune.training.methods.choice import make_method
    from labtune.training.methods.method import Tuning
    from labtune.training.plan import plan_phases
    from labtune.training.rows import read_rows

    us = join(config, sharding)
    tokenizer = load_tokenizer(student)
    check_template(tokenizer)
    here = accelerators()
    device = choose(config.device, here)
    check_precision(config.precision, device, here)
    method = make_method(Tuning(student, config, device_of(device, us), run.seed))
    journal = _open_journal(run.out_dir, _fingerprint(dataset, config, run.seed, student), us)
    if us.share((done := journal.last("end")) is not None and (run.out_dir / MODEL).is_dir()):
        assert done is not None, "all processes read the same journal"
        us.by_the_first(shutil.rmtree, run.out_dir / RESUME, ignore_errors=True)
        return _outcome(cast(dict[str, Json], done["counts"]))
    phases = {
        name: read_rows(dataset, name, tokenizer, max_length=config.max_length) for name in dataset.phases()
    }
    chat = next((rows.first for rows in phases.values() if rows.first), None)
    example = show_example(check_template(tokenizer, chat) if chat else check_template(tokenizer))
    us.by_the_first(write_text, run.out_dir / EXAMPLE, example + "\n")
    plans = plan_phases(phases, config, run.seed, alike=carries_state(read_object(student / "config.json")))
    run.emit("train.plan", _plan_event(plans))
    run.emit("train.example", {"text": example})
    fitting = Fitting.of(student, config, device, shards=us.size if sharding == "fsdp" else 1)
    return _train_phases(_Job(config, run, student, select, journal, method, tokenizer, us, fitting), plans)


@dataclass(frozen=True, slots=True)
class _Job:
    config: TrainConfig
    run: RunContext
    student: Path
    select: Callable[[HfChatModel], float]
    journal: Journal
    method: Any
    tokenizer: Any
    us: Gang
    fitting: Fitting


def _train_phases(job: _Job, plans: list[Any]) -> StageOutcome:
    from labtune.training.checkpoints import best_folder
    from labtune.training.phase import Judge, PhaseWork, run_phase
    from labtune.training.progress import Progress
    from labtune.training.trainer import Student

    method, tokenizer, us = job.method, job.tokenizer, job.us
    root = job.run.out_dir / RESUME
    work = PhaseWork(
        config=job.config,
        seed=job.run.seed,
        root=root,
        journal=job.journal,
        method=method,
        judge=Judge(method, tokenizer, job.select),
        progress=Progress(job.run.emit, plans, _gauge(job)),
        emit=job.run.emit,
        us=us,
        fits=us.share(job.fitting.choose(plans, job.journal)),
    )
    best: Path | None = None
    for number, plan in enumerate(plans):
        ended = job.journal.last("phase_end", phase=plan.name)
        if ended is not None:
            best = best_folder(root, plan.name, int(cast(int, ended["best_step"])))
        else:
            model = method.begin(best)
            check_vocabulary(model, tokenizer, job.student)
            best = run_phase(Student(model, tokenizer, method), plan, work)
            del model
            # A trainer and its model refer to each other; the next phase needs their memory.
            gc.collect()
        us.by_the_first(_clear, root, plan.name, [earlier.name for earlier in plans[:number]])
    assert best is not None, "a dataset has phases"
    us.by_the_first(_ship, job, best)
    counts = _finish(job, plans, work)
    us.by_the_first(shutil.rmtree, root)
    return _outcome(counts)


def _gauge(job: _Job) -> Gauge:
    """What measures how well the device is used; its ceiling is measured once per lab and machine."""
    from labtune.training.gauge import Gauge, ceiling

    fitting = job.fitting
    # One process measures, undisturbed by the others. GPUs are one for each process, a CPU is shared.
    each = job.us.by_the_first(ceiling, fitting.machine, job.config.precision, job.run.cache_dir / CEILINGS)
    devices = 1 if fitting.machine.device == "cpu" else job.us.size
    return Gauge.of(fitting.student, job.config, fitting.machine, each * devices)


def _clear(root: Path, phase: str, earlier: list[str]) -> None:
    """Delete what a finished phase leaves behind, and the best weights of the phases before it."""
    shutil.rmtree(root / phase, ignore_errors=True)
    for name in earlier:
        for path in (root / "best").glob(f"{name}-*"):
            shutil.rmtree(path)


def _ship(job: _Job, best: Path) -> None:
    from labtune.models.student import Licences
    from labtune.training.checkpoints import save_folder

    shipped = job.method.finished(best)
    _prepare_shipping(shipped, job.tokenizer)
    save_folder(job.run.out_dir / MODEL, shipped, job.tokenizer, Licences(job.student))


def _prepare_shipping(model: Any, tokenizer: Any) -> None:
    """Round to bf16 (as the exam saw the weights) and write down where a reply ends."""
    import torch

    model.to(torch.bfloat16)
    model.config.dtype = torch.bfloat16
    model.generation_config.eos_token_id = sorted(stop_tokens(model, tokenizer))
    model.generation_config.pad_token_id = tokenizer.pad_token_id


def _finish(job: _Job, plans: list[Any], work: Any) -> dict[str, Json]:
    progress, journal = work.progress, job.journal
    ends = {str(event["phase"]): event for event in journal.find("phase_end")}
    summaries = [plan.summary() for plan in plans]
    counts: dict[str, Json] = {
        "phases": len(plans),
        "steps": sum(int(cast(int, event["step"])) for event in ends.values()),
        "tokens": sum(int(cast(int, one["tokens"])) for one in summaries),
        "trained_tokens": sum(int(cast(int, one["trained_tokens"])) for one in summaries),
        "too_long": sum(int(cast(int, one["too_long"])) for one in summaries),
        "score": ends[plans[-1].name]["score"],
    }
    metrics = {
        "phases": [
            {
                **one,
                "steps_done": ends[str(one["name"])]["step"],
                "best_step": ends[str(one["name"])]["best_step"],
            }
            for one in summaries
        ],
        "loss": [[event["phase"], event["step"], event["loss"]] for event in journal.find("step")],
        "scores": [[event["phase"], event["step"], event["score"]] for event in journal.find("evaluation")],
        "tokens_per_second": round(progress.tokens_per_second, 1),
        "trained_tokens_per_second": round(progress.trained_tokens / max(1e-9, progress.stepping), 1),
        "seconds": {"training": round(progress.stepping, 2), "evaluation": round(progress.evaluating, 2)},
        "mfu": round(progress.utilisation, 4),
        "ceiling_flops": progress.gauge.ceiling,
        "peak_memory_mib": _peak_memory_mib(),
        "resumed": any(journal.find("resumed")),
        "on": job.fitting.on(),
    }
    job.us.by_the_first(write_json, job.run.out_dir / METRICS, metrics)
    journal.append("end", counts=counts)
    return counts


def _peak_memory_mib() -> int | None:
    """Largest resident size of this process so far, MiB; None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size // (1024 * 1024 if sys.platform == "darwin" else 1024)


def _outcome(counts: dict[str, Json]) -> StageOutcome:
    score = float(cast(float, counts["score"]))
    phases = "1 phase" if counts["phases"] == 1 else f"{counts['phases']} phases"
    return StageOutcome(
        counts=counts,
        summary=f"{counts['steps']} steps over {phases}; development score {score:.3f}",
    )


def _plan_event(plans: list[Any]) -> dict[str, Json]:
    phases: list[Json] = [plan.summary() for plan in plans]
    return {
        "phases": phases,
        "steps": sum(plan.steps for plan in plans),
        "tokens": sum(plan.count(plan.rows.lengths) for plan in plans),
    }


def _fingerprint(dataset: Dataset, config: TrainConfig, seed: int, student: Path) -> str:
    """What determines the result. An attempt with another fingerprint is not gone on with."""
    files = [dataset.path / "phases.json", *(dataset.path / f"{name}.jsonl" for name in dataset.phases())]
    files += sorted(path for path in student.iterdir() if path.suffix in (".safetensors", ".json", ".jinja"))
    missing = [path for path in files if not path.is_file()]
    if missing:
        read_json(missing[0])
    # Memory decides in how many parts the work is done, not what is done; the journal keeps the parts.
    settings = config.model_dump(exclude={"memory_gib"})
    return content_hash(settings, seed, [[path.name, file_hash(path)] for path in files])


def _open_journal(folder: Path, fingerprint: str, us: Gang) -> Journal:
    """The journal of the attempt that lies in `folder`, or a new one when it was another training's."""
    journal = _own_journal(folder, fingerprint) if us.is_first else None
    us.wait()
    if journal is None:
        journal = Journal(folder / JOURNAL, writes=False)
    us.wait()
    return journal


def _own_journal(folder: Path, fingerprint: str) -> Journal:
    journal = Journal(folder / JOURNAL)
    begun = journal.last("begin")
    if begun is None or begun["fingerprint"] != fingerprint:
        for name in (RESUME, MODEL):
            shutil.rmtree(folder / name, ignore_errors=True)
        (folder / JOURNAL).unlink(missing_ok=True)
        journal = Journal(folder / JOURNAL)
        journal.append("begin", fingerprint=fingerprint)
    else:
        attempts = sum(1 for _ in journal.find("resumed"))
        journal.append("resumed", step=attempts + 1)
    return journal

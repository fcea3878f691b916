"""The mix stage: from samples, documents and other files to the training rows of each phase.

Recipe `lab` (arXiv 2403.01081): knowledge with short answers, knowledge with long answers, then skills;
each phase replays its predecessors' own rows and a general set by share of its tokens. Recipe `single`
stacks everything into one phase with general replay (arXiv 2412.13337 found it as good). Recipe `cpt` trains
documents and their views as plain text, then all samples.

Writes `<phase>.jsonl`, `phases.json`, `removed.jsonl` and `mix.json`. Files depend on content and seed
only, not on the order of the samples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from labtune.artifact import Curated, SampleSet, file_hash, write_json, write_jsonl
from labtune.config.lab import MixConfig
from labtune.errors import ConfigError, StageError
from labtune.mixing.cleaning import Cleaner
from labtune.mixing.general import GeneralRow
from labtune.mixing.manifest import Account, describe, report
from labtune.mixing.noise import QuestionNoise, fixed_answers, foreign_questions, is_noisy
from labtune.mixing.passages import (
    Made,
    Maker,
    Passages,
    as_view,
    document_texts,
    is_view,
    view_texts,
)
from labtune.mixing.phases import PhaseBuilder, Pools, Recipe
from labtune.mixing.removal import LeakFilter, Removed
from labtune.mixing.replay import CountTokens, TokenCounts
from labtune.mixing.rows import Candidate, Fields, Placed, from_general, from_sample, from_source
from labtune.mixing.sources import SourceFile, draw_rows
from labtune.types import Json, RunContext, StageOutcome

_PHASE_OF_ROLE = {"skills": "skills", "knowledge": "knowledge-long", "replay": ""}


@dataclass(frozen=True, slots=True)
class MixInputs:
    """What mixing needs besides samples, curated taxonomy and settings.

    Attributes:
        recipe: how samples are divided into phases.
        count_tokens: tokens of rendered rows with the student's tokenizer, in the order given.
        general: the general replay set.
        general_exam: questions of the general exam, which no row may ask.
        sources: files of chats beside the samples.
        max_tokens: longest row that training takes; rows made of passages keep to it. 0 = no bound.
        hashes: of everything that is read, by name, for the manifest.
    """

    recipe: Recipe
    count_tokens: CountTokens
    general: Sequence[GeneralRow] = ()
    general_exam: Sequence[str] = ()
    sources: Sequence[SourceFile] = ()
    max_tokens: int = 0
    hashes: Mapping[str, str] = field(default_factory=dict)


def mix(
    samples: SampleSet, curated: Curated, *, config: MixConfig, run: RunContext, inputs: MixInputs
) -> StageOutcome:
    """Put together the training set of each phase.

    Raises:
        ConfigError: the replay shares leave no room for the phase's own rows.
        DataError: a file of `mix.sources` is malformed (file and line named).
        StageError: no row is left to train on.
    """
    if config.replay and config.general_share + config.phase_share >= 1:
        raise ConfigError(
            f"mix.general_share + mix.phase_share is {config.general_share + config.phase_share:g}: "
            "nothing is left for a phase's own rows",
            hint="make their sum smaller than 1",
        )
    return _Mixing(curated, config, run, inputs).mix(samples)


class _Mixing:
    """One mix: what its steps share."""

    def __init__(self, curated: Curated, config: MixConfig, run: RunContext, inputs: MixInputs) -> None:
        self._curated = curated
        self._config = config
        self._run = run
        self._inputs = inputs
        self._leaves = curated.leaves()
        seeds = [seed for leaf in self._leaves for seed in leaf.seeds]
        leaks = LeakFilter(curated.exam(), inputs.general_exam, config.leak_overlap, seeds)
        self._cleaner = Cleaner(leaks, config.near_duplicate, run.emit)
        self._counts = TokenCounts(inputs.count_tokens, run.emit)
        general_set: dict[str, Json] = {
            "rows": len(inputs.general),
            "exam_questions": len(inputs.general_exam),
        }
        self._account = Account(inputs.recipe, run.seed, inputs.hashes, general_set)

    def mix(self, samples: SampleSet) -> StageOutcome:
        candidates = [from_sample(sample) for sample in samples.samples()]
        own = self._clean([as_view(row) if is_view(row) else row for row in candidates], "sample", "samples")
        if not own:
            reasons = Counter(r.reason for r in self._account.removed)
            told = ", ".join(f"{n} {reason}" for reason, n in sorted(reasons.items()))
            raise StageError(
                f"mixing: no training row is left ({told or 'the sample set is empty'})",
                hint="labtune generate, or look into removed.jsonl",
            )
        general: list[Candidate] = []
        if self._config.replay:
            general = self._clean(
                [from_general(row) for row in self._inputs.general], "general_replay", "general set"
            )
        rows, repeats, replayed = self._sources()
        pools = Pools([*self._with_passages(own), *rows], repeats, [*general, *replayed])
        noise = QuestionNoise(
            self._config.question_noise,
            self._run.seed,
            foreign_questions(self._inputs.general),
            fixed_answers([*own, *general]),
        )
        builder = PhaseBuilder(self._config, self._inputs.recipe, self._counts, self._run.seed, noise)
        phases, self._account.raised = builder.build(pools)
        return self._write(phases)

    def _clean(self, rows: Sequence[Candidate], pool: str, subject: str) -> list[Candidate]:
        kept, removed = self._cleaner.clean(rows, pool, subject)
        self._account.removed += removed
        return kept

    def _sources(self) -> tuple[list[Candidate], dict[str, int], list[Candidate]]:
        """Rows of the files beside the samples: those of a phase, how often they are repeated, replay."""
        own: list[Candidate] = []
        replayed: list[Candidate] = []
        repeats: dict[str, int] = {}
        taken: dict[str, str] = {}
        for source in self._inputs.sources:
            drawn = draw_rows(source, self._run.seed)
            rows: list[Candidate] = []
            for place, line in enumerate(drawn.rows):
                row = from_source(
                    line,
                    source.name,
                    goes_to=_PHASE_OF_ROLE[source.role],
                    system_prompt=source.system_prompt,
                )
                if row.id in taken:
                    removed = Removed(row, source.name, "same_id", taken[row.id], 1.0, row.questions[-1])
                    self._account.removed.append(removed)
                    continue
                taken[row.id] = line.place
                rows.append(row)
                if (again := drawn.rounds - 1 + (place < drawn.rest)) and source.role != "replay":
                    repeats[row.id] = again
            kept = self._clean(rows, source.name, source.name)
            if source.role != "replay":
                own += kept
            elif self._config.replay:
                replayed += kept
            self._account.sources[source.name] = {
                "sha256": file_hash(source.path),
                "role": source.role,
                "size": source.size,
                "asked": drawn.asked,
                "drawn": len(drawn.rows),
                "kept": len(kept),
                "repeat": source.repeat,
                "draw": "source",
            }
        return own, repeats, replayed

    def _with_passages(self, own: Sequence[Candidate]) -> list[Candidate]:
        """The samples, and what is made of them and their documents."""
        views = [row for row in own if row.part == "view"]
        questions = [row for row in own if row.part != "view"]
        pretraining = self._inputs.recipe == "cpt"
        if not (pretraining or views or self._wants_passages(questions)):
            return questions
        chunks = self._curated.chunks()
        maker = Maker(
            Passages(chunks, self._run.seed),
            self._config,
            self._run.seed,
            self._counts,
            taught_share=0.0 if pretraining else 1.0,
            max_tokens=self._inputs.max_tokens,
        )
        rows = [*questions]
        rows += self._told("document_question", maker.document_rows(questions))
        rows += self._told("raft", maker.raft_rows(questions))
        if pretraining:
            languages = {leaf.path: leaf.language for leaf in self._leaves}
            rows += self._told("document_text", Made(document_texts(chunks, languages)))
            return rows + self._told("view_text", Made(view_texts(views)))
        return rows + self._told("view", maker.views(views))

    def _wants_passages(self, rows: Sequence[Candidate]) -> bool:
        shares = (self._config.document_share, self._config.raft_share)
        return any(shares) or (None in shares and any(row.taught and row.knowledge for row in rows))

    def _told(self, part: str, made: Made) -> list[Candidate]:
        if made.rows or made.too_long:
            self._account.made[part] = {
                "rows": len(made.rows),
                "too_long": made.too_long,
                "shortened": made.shortened,
            }
        return list(made.rows)

    def _write(self, phases: Mapping[str, list[Placed]]) -> StageOutcome:
        out, account = self._run.out_dir, self._account
        fields = Fields(
            unmask=any(row.candidate.unmask for rows in phases.values() for row in rows),
            columns=bool(account.sources),
            noise=self._config.question_noise > 0,
        )
        for name, rows in phases.items():
            write_jsonl(out / f"{name}.jsonl", (row.as_json(fields) for row in rows))
            self._run.emit("mix.phase", {"phase": name, **describe(rows)})
        account.removed.sort(key=lambda r: (r.pool, r.candidate.id))
        write_jsonl(out / "removed.jsonl", (r.as_json() for r in account.removed))
        write_json(out / "phases.json", list(phases))
        write_json(out / "mix.json", report(phases, account, fields))
        return _outcome(phases, account.removed)


def _outcome(phases: Mapping[str, Sequence[Placed]], removed: Sequence[Removed]) -> StageOutcome:
    n_leaks = sum(r.reason in ("exam_question", "exam_answer", "held_out_seed") for r in removed)
    n_duplicates = sum(r.reason == "near_duplicate" for r in removed)
    n_rows = sum(len(rows) for rows in phases.values())
    n_tokens = sum(row.n_tokens for rows in phases.values() for row in rows)
    counts: dict[str, Json] = {
        "phases": list(phases),
        "rows": n_rows,
        "tokens": n_tokens,
        "duplicates": n_duplicates,
        "leaks": n_leaks,
        "incomplete": len(removed) - n_leaks - n_duplicates,
    }
    parts = ", ".join(f"{name} {len(rows)}" for name, rows in phases.items())
    counted = "1 phase" if len(phases) == 1 else f"{len(phases)} phases"
    told = (
        f"{n_rows} rows ({n_tokens} tokens) in {counted}: {parts}; "
        f"removed {n_duplicates} near duplicates and {n_leaks} exam leaks"
    )
    if n_noisy := sum(is_noisy(row) for rows in phases.values() for row in rows):
        counts["noisy"] = n_noisy
        told += f"; noise in {n_noisy} questions"
    return StageOutcome(counts, told)

"""Defaults that depend on the student's size, the method and the amount of data, each with its source.

They stand below everything that anybody sets: a profile, the lab file, the environment, `--set`. The built-in
students have measured profiles and are not touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ADAPTERS = ("lora", "dora", "qlora")

_LAB = "LAB, arXiv 2403.01081: 4 passes over each knowledge phase, 7 over skills, 230k to 630k rows each"
_ILAB = "ilab's own defaults for labs of this size: 7 passes over knowledge, 10 over skills"
_TULU = "Tulu 3, arXiv 2411.15124"
_RECIPE = (
    "arXiv 2412.13337 (3B to 7B): 2e-5 above higher rates; LAB (13B) and SmolLM3-3B's recipe use it, too"
)
_REGRET = "LoRA Without Regret (Schulman et al. 2025)"
_SWEEP = "sweep in tinker-cookbook (hyperparam_utils.py): 1e-3 for LoRA on Llama-3.2-1B"
_QLORA = "QLoRA, arXiv 2305.14314"
_HUB = "examples of training_hub's documentation for 7B and 8B"
_ENTIGRAPH = "EntiGraph, arXiv 2409.07431 (8B)"
_LIMA = "LIMA, arXiv 2305.11206 (1,000 rows)"

PROFILE_SOURCES = {"profile nano": "measured on the examples, docs/log.md"}

_SCHEMA_SOURCES = {
    "train.learning_rate": _RECIPE,
    "train.epochs_short": _LAB,
    "train.epochs_long": _LAB,
    "train.epochs_skills": _LAB,
    "train.schedule": "LAB, arXiv 2403.01081: no decay between phases; 2412.13337: constant costs nothing",
    "train.warmup_share": f"{_TULU}: 3 % of the steps",
    "train.weight_decay": "instructlab-training: AdamW without decay",
    "train.pull_back": "L2-SP, arXiv 1802.01483",
    "train.osft.preserve": "PEFT's OSF: half of the directions",
    "train.patience": "LAB, arXiv 2403.01081: earlier checkpoints are preferred",
    "mix.phase_share": "LAB, arXiv 2403.01081: later phases replay the earlier ones",
    "mix.raft_documents": "RAFT, arXiv 2403.10131",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about a training before it starts.

    Attributes:
        parameters: of the student.
        method: `train.method`.
        rows: of the largest phase; None while they are not mixed.
        tokens_per_row: of that phase, on average; None with `rows`.
    """

    parameters: int
    method: str
    rows: int | None = None
    tokens_per_row: float | None = None

    def __str__(self) -> str:
        said = [f"{short_number(self.parameters)} parameters", self.method]
        return ", ".join(said if self.rows is None else [*said, f"{self.rows:,} rows"])


@dataclass(frozen=True, slots=True)
class Default:
    """A value and where it was found."""

    value: float | int
    source: str


_Steps = Sequence[tuple[float, Default]]
"""(up to, default), ascending; the last has no bound."""

_ANY = float("inf")

_FULL_RATE: _Steps = (
    (
        0.6e9,
        Default(3e-4, "SmolLM2's recipe for 135M and 360M (alignment-handbook): the lower of its two rates"),
    ),
    (2e9, Default(1e-4, f"a tenth of LoRA's ({_REGRET}); {_SWEEP}")),
    (15e9, Default(2e-5, _RECIPE)),
    (_ANY, Default(2e-6, f"{_TULU}: 70B")),
)
_OSFT_RATE: _Steps = (
    *_FULL_RATE[:2],
    (15e9, Default(5e-6, _HUB)),
    _FULL_RATE[3],
)
_ADAPTER_RATE: _Steps = (
    (2e9, Default(1e-3, f"{_REGRET}: ten times the rate of full tuning; {_SWEEP}")),
    (15e9, Default(2e-4, f"{_QLORA}: up to 13B; ten times the rate of full tuning ({_REGRET})")),
    (_ANY, Default(1e-4, f"{_QLORA}: 33B and 65B")),
)
_GENERAL_SHARE: _Steps = (
    (1e9, Default(0.25, "arXiv 2403.08763 (405M): 25 % replay for a strong shift")),
    (_ANY, Default(0.1, f"{_ENTIGRAPH}: a tenth of the tokens")),
)
_PASSES: dict[str, _Steps] = {
    "train.epochs_short": (
        (1e4, Default(7.0, _ILAB)),
        (1e6, Default(4.0, _LAB)),
        (_ANY, Default(2.0, _TULU)),
    ),
    "train.epochs_long": ((1e4, Default(7.0, _ILAB)), (1e6, Default(4.0, _LAB)), (_ANY, Default(2.0, _TULU))),
    "train.epochs_skills": (
        (1e4, Default(10.0, _ILAB)),
        (1e6, Default(7.0, _LAB)),
        (_ANY, Default(2.0, _TULU)),
    ),
    "train.epochs_pretraining": (
        (1e4, Default(4.0, "LAB, arXiv 2403.01081: as its knowledge phases")),
        (_ANY, Default(2.0, f"{_ENTIGRAPH}: 2 passes")),
    ),
}
_ROWS_A_STEP: _Steps = (
    (1e4, Default(32, f"{_LIMA}: 32 rows a step")),
    (2e5, Default(128, f"{_TULU}, and ilab's knowledge phase: 128 rows a step")),
    (_ANY, Default(3840, "LAB, arXiv 2403.01081, and arXiv 2412.13337: 3,840 rows a step")),
)
_ADAPTER_ROWS_A_STEP: _Steps = (
    (1e4, Default(16, f"{_REGRET}: fewer than 32 rows a step")),
    (_ANY, Default(32, f"{_REGRET}: no more than 32 rows a step")),
)
_RANK: _Steps = (
    (1e4, Default(16, "LoRA Learns Less and Forgets Less, arXiv 2405.09673: 16 where memory counts")),
    (1e5, Default(64, f"{_QLORA}: 64")),
    (_ANY, Default(256, f"{_REGRET}: 256 for instruction data of ordinary size")),
)
_ALPHA = Default(32.0, f"{_REGRET}: 32 at every rank")
_PRESERVE = Default(0.75, f"{_HUB}: a quarter of the directions is tuned")


def defaults_for(facts: Facts) -> dict[str, Default]:
    """The defaults that `facts` decide, by dotted key; what they do not decide is left to the schema."""
    adapter = facts.method in ADAPTERS
    rates = _ADAPTER_RATE if adapter else _OSFT_RATE if facts.method == "osft" else _FULL_RATE
    chosen = {
        "train.learning_rate": _pick(rates, facts.parameters),
        "mix.general_share": _pick(_GENERAL_SHARE, facts.parameters),
    }
    if facts.method == "osft" and facts.parameters >= 1e9:
        chosen["train.osft.preserve"] = _PRESERVE
    if adapter:
        chosen["train.lora.alpha"] = _ALPHA
    if facts.rows is None:
        return chosen
    chosen |= {key: _pick(steps, facts.rows) for key, steps in _PASSES.items()}
    if adapter:
        chosen["train.lora.rank"] = _pick(_RANK, facts.rows)
    if facts.tokens_per_row is not None:
        rows = _pick(_ADAPTER_ROWS_A_STEP if adapter else _ROWS_A_STEP, facts.rows)
        chosen["train.batch_tokens"] = Default(_rounded(rows.value * facts.tokens_per_row), rows.source)
    return chosen


def schema_source(key: str) -> str:
    """Where the schema's own default of a key was found; empty when it is a choice of this project."""
    return _SCHEMA_SOURCES.get(key, "")


def short_number(count: int) -> str:
    """3,212,749,824 -> 3.2B."""
    for size, letter in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.3g}{letter}"
    return str(count)


def _pick(steps: _Steps, amount: float) -> Default:
    return next(default for bound, default in steps if amount <= bound)


def _rounded(tokens: float) -> int:
    """Whole packs of 256 tokens, four at least."""
    return max(1024, round(tokens / 256) * 256)

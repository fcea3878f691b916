"""Which architectures can become GGUF, and how: names, rows to permute, scales, rope.

llama.cpp rotates pairs of neighbouring rows for some architectures and pairs half a head apart for others;
the checkpoint always has the latter, so for the former the rows of q and k are reordered once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labtune.errors import ExportError, MissingDependencyError, ModelError

OTHER_WAYS = "labtune export --format safetensors, and labtune serve on the result, work with this model"


@dataclass(frozen=True, slots=True)
class Layout:
    """One architecture of llama.cpp.

    Attributes:
        name: `general.architecture`.
        interleaved: pairs of neighbours are rotated, so q and k are permuted.
        qk_norm: q and k have norms of their own.
        fused: q, k, v and gate, up are stored as one matrix each.
    """

    name: str
    interleaved: bool
    qk_norm: bool = False
    fused: bool = False


LAYOUTS: Mapping[str, Layout] = {
    "LlamaForCausalLM": Layout("llama", interleaved=True),
    "MistralForCausalLM": Layout("llama", interleaved=True),
    "GraniteForCausalLM": Layout("granite", interleaved=True),
    # Dense Granite 4 (micro) writes this class with attention layers only; a hybrid one is refused below.
    "GraniteMoeHybridForCausalLM": Layout("granite", interleaved=True),
    "SmolLM3ForCausalLM": Layout("smollm3", interleaved=True),
    "Qwen2ForCausalLM": Layout("qwen2", interleaved=False),
    "Qwen3ForCausalLM": Layout("qwen3", interleaved=False, qk_norm=True),
    "Phi3ForCausalLM": Layout("phi3", interleaved=False, fused=True),
}
ROPELESS_EVERY = 4
"""llama.cpp leaves rope out of every fourth layer of SmolLM3, whatever the file says."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The numbers that the GGUF file states about a model. `context` is what llama.cpp computes exactly."""

    layout: Layout
    layers: int
    hidden: int
    inner: int
    heads: int
    kv_heads: int
    head_dim: int
    rope_dim: int
    context: int
    rms_eps: float
    rope_base: float
    tied: bool
    scales: Mapping[str, float] = field(default_factory=dict)
    scaling: Mapping[str, Any] = field(default_factory=dict)
    ropeless: bool = False
    notes: tuple[str, ...] = ()


def read_config(folder: Path) -> Any:
    """The model's configuration with the defaults of its class.

    Raises:
        ModelError: config.json is missing or malformed.
        MissingDependencyError: transformers is not installed.
    """
    try:
        from transformers import AutoConfig
    except ImportError as error:
        raise MissingDependencyError.for_extra("transformers", "train") from error
    from labtune.models.quiet import no_warnings

    try:
        with no_warnings():
            return AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{folder}/config.json cannot be read: {reason}") from error


def shape_of(config: Any) -> Shape:
    """What the GGUF file says about a model.

    Raises:
        ExportError: llama.cpp, or this converter, does not compute this model exactly.
    """
    layout = _layout(config)
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    rope = dict(config.rope_parameters or {})
    share = float(rope.get("partial_rotary_factor") or getattr(config, "partial_rotary_factor", None) or 1.0)
    context, notes = _context(config, rope)
    shape = Shape(
        layout=layout,
        layers=config.num_hidden_layers,
        hidden=config.hidden_size,
        inner=getattr(config, "shared_intermediate_size", None) or config.intermediate_size,
        heads=config.num_attention_heads,
        kv_heads=getattr(config, "num_key_value_heads", None) or config.num_attention_heads,
        head_dim=head_dim,
        rope_dim=int(head_dim * share),
        context=context,
        rms_eps=float(config.rms_norm_eps),
        rope_base=float(rope.get("rope_theta", 10000.0)),
        tied=bool(config.tie_word_embeddings),
        scales=_scales(config) if layout.name == "granite" else {},
        scaling=_scaling(config, rope, int(head_dim * share)),
        ropeless=getattr(config, "position_embedding_type", "rope") != "rope",
        notes=notes,
    )
    _check(config, shape)
    return shape


def _layout(config: Any) -> Layout:
    name = (getattr(config, "architectures", None) or [type(config).__name__])[0]
    layout = LAYOUTS.get(name)
    if layout is None:
        known = ", ".join(kind.removesuffix("ForCausalLM") for kind in LAYOUTS)
        raise ExportError(f"{name} cannot be written as GGUF; these can: {known}", hint=OTHER_WAYS)
    if name == "GraniteMoeHybridForCausalLM":
        kinds: set[str] = set(config.layer_types or ())
        if kinds - {"attention", "full_attention"} or config.num_local_experts:
            raise ExportError(
                "a Granite 4 hybrid (Mamba layers or experts) cannot be written as GGUF; a dense Granite "
                "(3.x, or 4 with attention layers only) can",
                hint=OTHER_WAYS,
            )
    return layout


def _context(config: Any, rope: Mapping[str, Any]) -> tuple[int, tuple[str, ...]]:
    """The longest text that llama.cpp computes as the checkpoint does, and what bounds it."""
    longest = int(config.max_position_embeddings)
    kinds = getattr(config, "layer_types", None) or ()
    window = getattr(config, "sliding_window", None)
    slides = "sliding_attention" in kinds if kinds else bool(window)
    if slides and window and int(window) < longest:
        note = (
            f"the model looks back {window} tokens only, which llama.cpp does not do for this architecture; "
            f"the file states a context of {window} tokens, up to which both are the same"
        )
        return int(window), (note,)
    if rope.get("rope_type") == "dynamic":
        return longest, ("beyond its trained context the model stretches its positions; the file does not",)
    return longest, ()


def _scales(config: Any) -> dict[str, float]:
    return {
        "attention": float(config.attention_multiplier),
        "embedding": float(config.embedding_multiplier),
        "residual": float(config.residual_multiplier),
        "logits": float(config.logits_scaling),
    }


def _scaling(config: Any, rope: Mapping[str, Any], rope_dim: int) -> dict[str, Any]:
    """How positions are stretched: `kind`, and what llama.cpp needs to know for that kind."""
    kind = rope.get("rope_type", "default")
    if kind in ("default", "dynamic"):
        return {}
    if kind == "linear":
        return {"kind": "linear", "factor": float(rope["factor"])}
    if kind == "yarn":
        return _yarn(rope)
    if kind == "llama3":
        return {"kind": "factors", "factors": _llama3_factors(rope, rope_dim)}
    if kind == "longrope":
        return _longrope(config, rope, rope_dim)
    raise ExportError(f"rope scaling {kind!r} cannot be written as GGUF", hint=OTHER_WAYS)


def _yarn(rope: Mapping[str, Any]) -> dict[str, Any]:
    if rope.get("mscale") or rope.get("mscale_all_dim") or rope.get("truncate") is False:
        raise ExportError("this kind of YaRN scaling cannot be written as GGUF", hint=OTHER_WAYS)
    found: dict[str, Any] = {
        "kind": "yarn",
        "factor": float(rope["factor"]),
        "original": int(rope["original_max_position_embeddings"]),
    }
    if rope.get("attention_factor") is not None:
        # llama.cpp multiplies its own 0.1 ln(factor) + 1 with what the file says.
        found["attention_factor"] = float(rope["attention_factor"]) / (0.1 * math.log(rope["factor"]) + 1)
    found |= {name: float(rope[name]) for name in ("beta_fast", "beta_slow") if rope.get(name) is not None}
    return found


def _llama3_factors(rope: Mapping[str, Any], rope_dim: int) -> list[float]:
    """Divisors of each frequency. Source: Llama 3.1's published rule, as in transformers `rope_utils`."""
    factor, original = float(rope["factor"]), float(rope["original_max_position_embeddings"])
    low, high = float(rope["low_freq_factor"]), float(rope["high_freq_factor"])
    factors = []
    for place in range(0, rope_dim, 2):
        wavelength = 2 * math.pi * float(rope["rope_theta"]) ** (place / rope_dim)
        if wavelength < original / high:
            factors.append(1.0)
        elif wavelength > original / low:
            factors.append(factor)
        else:
            smooth = (original / wavelength - low) / (high - low)
            factors.append(1 / ((1 - smooth) / factor + smooth))
    return factors


def _longrope(config: Any, rope: Mapping[str, Any], rope_dim: int) -> dict[str, Any]:
    original = int(
        rope.get("original_max_position_embeddings")
        or getattr(config, "original_max_position_embeddings", None)
        or config.max_position_embeddings
    )
    stretch = rope.get("factor") or config.max_position_embeddings / original
    attention = rope.get("attention_factor")
    if attention is None:
        attention = math.sqrt(1 + math.log(stretch) / math.log(original)) if stretch > 1 else 1.0
    for name in ("long_factor", "short_factor"):
        if len(rope[name]) != rope_dim // 2:
            raise ModelError(f"config.json lies: {name} has {len(rope[name])} entries, not {rope_dim // 2}")
    return {
        "kind": "longrope",
        "original": original,
        "attention_factor": float(attention),
        "long": [float(value) for value in rope["long_factor"]],
        "short": [float(value) for value in rope["short_factor"]],
    }


def _check(config: Any, shape: Shape) -> None:
    act = getattr(config, "hidden_act", "silu")
    if act not in ("silu", "swish"):
        raise ExportError(f"the activation {act!r} cannot be written as GGUF for this model", hint=OTHER_WAYS)
    if shape.layout.fused and shape.head_dim * shape.heads != shape.hidden:
        raise ExportError("llama.cpp reads Phi-3 only with heads as wide as the model", hint=OTHER_WAYS)
    if shape.rope_dim != shape.head_dim and not shape.layout.fused:
        raise ExportError("llama.cpp rotates whole heads only for this architecture", hint=OTHER_WAYS)
    if shape.ropeless and shape.layout.name != "granite":
        raise ExportError("a model without positions cannot be written as GGUF", hint=OTHER_WAYS)
    if shape.layout.name == "smollm3":
        layers = list(getattr(config, "no_rope_layers", None) or [1] * shape.layers)
        expected = [int((layer + 1) % ROPELESS_EVERY != 0) for layer in range(shape.layers)]
        if layers != expected:
            raise ExportError(
                "this SmolLM3 leaves rope out of other layers than every fourth, which llama.cpp cannot read",
                hint=OTHER_WAYS,
            )

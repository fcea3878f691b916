"""What the server loads that child processes are forked from. Nothing is computed here."""

from __future__ import annotations

from importlib import import_module

from transformers.conversion_mapping import get_checkpoint_conversion_mapping

FAMILIES = ("llama", "granite", "granitemoehybrid", "qwen3", "mistral", "phi3", "smollm3", "gpt_oss")
MODULES = (
    "labtune.models.decode",
    "labtune.training.phase",
    "labtune.training.methods.adapters",
    "labtune.training.methods.osft",
    "labtune.training.methods.full",
    "peft.utils.transformers_weight_conversion",
    *(f"transformers.models.{name}.modeling_{name}" for name in FAMILIES),
)

for module in MODULES:
    import_module(module)
# Built once per process, in a fifth of a second.
get_checkpoint_conversion_mapping("llama")

"""The student families, tiny: real architectures with random weights, real tokenizers trained on the spot.

`make_family` writes a folder as the hub holds it: config, safetensors, tokenizer files under the family's own
class name, its own kind of chat template (most without generation marks), generation config and model card.
Templates that TRL ships are read from there; the others are written here in the same shape.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FAMILIES = ("llama3", "granite3", "granite4", "qwen3", "mistral", "phi4mini", "smollm", "gptoss")

GPT2_REGEX = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
CL100K_REGEX = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
QWEN2_REGEX = CL100K_REGEX.replace(r"\p{N}{1,3}", r"\p{N}")
O200K_REGEX = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

CORPUS = (
    "The sky is blue and the sea is deep, because sunlight is scattered by the air.",
    "What colour is the sky? The sky is blue. What is the grass? The grass is green.",
    "Where does the chickadee live? The bird lives in the forest and does not leave in the winter.",
    "Who wrote the letter? Anna wrote the letter in the morning and sent it in the evening.",
    "How many pumps does the station have? It has 42 pumps, 7 valves and 1,250 metres of pipe.",
    "You are a helpful assistant. Answer the question of the user with one short sentence.",
    "The temperature of the water must be between 60 and 75 degrees; otherwise the machine stops.",
    "def area(width, height):\n    return width * height\n\nprint(area(3, 4))\n",
    "I don't know what you're asking for. They've said that we'll see, but she'd rather not.",
    "天空是蓝色的。草是绿色的。谁写了这封信?安娜在早上写了这封信。",
    "Die Maschine läuft seit dem Frühjahr ohne Störung. Où est la bibliothèque? El niño come una manzana.",
)

GRANITE3_TEMPLATE = """\
{%- if messages[0]['role'] == 'system' -%}
    {%- set system_message = messages[0]['content'] -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set today = "Knowledge up to: April 2024.\\nToday: " + strftime_now('%B %d, %Y') -%}
    {%- set system_message = today + ".\\nYou are a student." -%}
    {%- if thinking -%}
        {%- set system_message = system_message + " Write your thoughts into <think></think> first." -%}
    {%- else -%}
        {%- set system_message = system_message + " You help." -%}
    {%- endif -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{{- '<|start_of_role|>system<|end_of_role|>' + system_message + '<|end_of_text|>\\n' -}}
{%- for message in loop_messages -%}
    {{- '<|start_of_role|>' + message['role'] + '<|end_of_role|>' -}}
    {{- message['content'] + '<|end_of_text|>\\n' -}}
    {%- if loop.last and add_generation_prompt -%}
        {{- '<|start_of_role|>assistant<|end_of_role|>' -}}
    {%- endif -%}
{%- endfor -%}
"""
GRANITE4_TEMPLATE = """\
{%- set ns = namespace(system='You help. Answer professionally, accurately and safely.') %}
{%- if messages[0].role == 'system' %}
    {%- set ns.system = messages[0].content %}
    {%- set messages = messages[1:] %}
{%- endif %}
{{- '<|start_of_role|>system<|end_of_role|>' + ns.system + '<|end_of_text|>\\n' }}
{%- for message in messages %}
    {{- '<|start_of_role|>' + message.role + '<|end_of_role|>' + message.content + '<|end_of_text|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_of_role|>assistant<|end_of_role|>' }}
{%- endif %}
"""
MISTRAL_TEMPLATE = """\
{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- set turn = namespace(number=0) %}
{%- for message in loop_messages %}
    {%- if (message["role"] == "user") != (turn.number % 2 == 0) %}
        {{- raise_exception("After an optional system message, user and assistant must take turns") }}
    {%- endif %}
    {%- set turn.number = turn.number + 1 %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"] | trim + eos_token }}
    {%- endif %}
{%- endfor %}
"""
PHI4MINI_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' and 'tools' in message and message['tools'] is not none %}"
    "{{ '<|system|>' + message['content'] + '<|tool|>' + message['tools'] + '<|/tool|><|end|>' }}"
    "{% else %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% else %}{{ eos_token }}{% endif %}"
)
SMOLLM_TEMPLATE = """\
{%- if enable_thinking is not defined -%}
    {%- set enable_thinking = true -%}
{%- endif -%}
{%- set mode = "/think" if enable_thinking else "/no_think" -%}
{{- "<|im_start|>system\\n" -}}
{%- if messages[0].role == "system" -%}
    {%- set custom = messages[0].content -%}
    {%- if "/no_think" in custom -%}
        {%- set mode = "/no_think" -%}
    {%- elif "/think" in custom -%}
        {%- set mode = "/think" -%}
    {%- endif -%}
    {%- set custom = custom.replace("/no_think", "").replace("/think", "").rstrip() -%}
{%- endif -%}
{{- "## Metadata\\n\\nKnowledge up to: June 2025\\nToday: " ~ strftime_now("%d %B %Y") -}}
{{- "\\nReasoning Mode: " + mode + "\\n\\n## Custom Instructions\\n\\n" -}}
{%- if custom -%}
    {{- custom + "\\n\\n" -}}
{%- else -%}
    {{- "You are a student." + (" You think first." if mode == "/think" else "") + "\\n\\n" -}}
{%- endif -%}
{{- "<|im_end|>\\n" -}}
{%- for message in messages -%}
    {%- set content = message.content if message.content is string else "" -%}
    {%- if message.role == "user" -%}
        {{ "<|im_start|>user\\n" + content + "<|im_end|>\\n" }}
    {%- elif message.role == "assistant" -%}
        {% generation %}
        {%- if mode == "/think" -%}
            {{ "<|im_start|>assistant\\n" + content.lstrip("\\n") + "<|im_end|>\\n" }}
        {%- else -%}
            {{ "<|im_start|>assistant\\n<think>\\n\\n</think>\\n" + content.lstrip("\\n") + "<|im_end|>\\n" }}
        {%- endif -%}
        {% endgeneration %}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {%- if mode == "/think" -%}
        {{ "<|im_start|>assistant\\n" }}
    {%- else -%}
        {{ "<|im_start|>assistant\\n<think>\\n\\n</think>\\n" }}
    {%- endif -%}
{%- endif -%}
"""


def trl_template(name: str) -> str:
    """The text of a chat template that TRL ships, such as `llama3_2` or `qwen3_training`."""
    package = importlib.util.find_spec("trl")
    assert package is not None
    assert package.origin is not None
    return (Path(package.origin).parent / "chat_templates" / f"{name}.jinja").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Family:
    """What makes a family itself.

    Attributes:
        model: arguments of the config class beyond the common small sizes.
        special: special tokens, in the order of their ids.
        roles: which special token is bos, eos, pad, unk.
        ends: tokens that the generation config names as ends.
        regex: pre-tokeniser of the byte-level BPE; empty: SentencePiece-like BPE with byte fallback.
        plain: added tokens that are not special, such as `<think>`.
        separate_template: chat_template.jinja; otherwise a key of tokenizer_config.json.
        multiple: rows of the embedding are rounded up to it.
    """

    model_type: str
    tokenizer_class: str
    template: str
    licence: str
    regex: str
    special: tuple[str, ...]
    roles: Mapping[str, str]
    ends: tuple[str, ...]
    model: Mapping[str, Any] = field(default_factory=dict)
    plain: tuple[str, ...] = ()
    bos_added: bool = False
    digits: bool = False
    separate_template: bool = True
    multiple: int = 1
    context: int = 512


_LLAMA3_SPECIAL = (
    "<|begin_of_text|>", "<|end_of_text|>", "<|finetune_right_pad_id|>", "<|start_header_id|>",
    "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>", "<|python_tag|>",
)  # fmt: skip
_GRANITE_SPECIAL = ("<|end_of_text|>", "<|pad|>", "<|start_of_role|>", "<|end_of_role|>", "<|tool_call|>")
_QWEN_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_THINK = ("<tool_call>", "</tool_call>", "<think>", "</think>")


def family(name: str) -> Family:
    """The definition of one of FAMILIES."""
    return _DEFINITIONS[name]()


def _llama3() -> Family:
    return Family(
        model_type="llama",
        tokenizer_class="PreTrainedTokenizerFast",
        template=trl_template("llama3_2"),
        licence="llama3.2",
        regex=CL100K_REGEX,
        special=_LLAMA3_SPECIAL,
        roles={
            "bos_token": "<|begin_of_text|>",
            "eos_token": "<|eot_id|>",
            "pad_token": "<|finetune_right_pad_id|>",
        },
        ends=("<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"),
        model={
            "tie_word_embeddings": True,
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 500000.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 64,
            },
        },
        bos_added=True,
        separate_template=False,
    )


def _granite3() -> Family:
    return Family(
        model_type="granite",
        tokenizer_class="GPT2Tokenizer",
        template=GRANITE3_TEMPLATE,
        licence="apache-2.0",
        regex=GPT2_REGEX,
        digits=True,
        special=_GRANITE_SPECIAL,
        roles=dict.fromkeys(("bos_token", "eos_token", "pad_token", "unk_token"), "<|end_of_text|>"),
        ends=("<|end_of_text|>",),
        model={
            "embedding_multiplier": 12.0,
            "logits_scaling": 8.0,
            "residual_multiplier": 0.22,
            "attention_multiplier": 0.0625,
            "tie_word_embeddings": True,
        },
        separate_template=False,
    )


def _granite4() -> Family:
    return Family(
        model_type="granitemoehybrid",
        tokenizer_class="GPT2Tokenizer",
        template=GRANITE4_TEMPLATE,
        licence="apache-2.0",
        regex=CL100K_REGEX,
        special=_GRANITE_SPECIAL,
        roles={
            "bos_token": "<|end_of_text|>",
            "eos_token": "<|end_of_text|>",
            "pad_token": "<|pad|>",
            "unk_token": "<|end_of_text|>",
        },
        ends=("<|end_of_text|>",),
        model={
            "layer_types": ["mamba", "attention"],
            "position_embedding_type": "nope",
            "num_local_experts": 0,
            "num_experts_per_tok": 0,
            "shared_intermediate_size": 128,
            "embedding_multiplier": 12.0,
            "logits_scaling": 8.0,
            "residual_multiplier": 0.22,
            "attention_multiplier": 0.0625,
            "mamba_n_heads": 8,
            "mamba_d_head": 16,
            "mamba_d_state": 16,
            "mamba_chunk_size": 32,
            "tie_word_embeddings": True,
        },
        multiple=32,
    )


def _qwen3() -> Family:
    return Family(
        model_type="qwen3",
        tokenizer_class="Qwen2Tokenizer",
        template=trl_template("qwen3"),
        licence="apache-2.0",
        regex=QWEN2_REGEX,
        special=_QWEN_SPECIAL,
        plain=_THINK,
        roles={"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
        ends=("<|im_end|>", "<|endoftext|>"),
        model={"head_dim": 16, "tie_word_embeddings": True},
        separate_template=False,
        multiple=64,
    )


def _mistral() -> Family:
    return Family(
        model_type="mistral",
        tokenizer_class="LlamaTokenizer",
        template=MISTRAL_TEMPLATE,
        licence="apache-2.0",
        regex="",
        special=("<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[TOOL_CALLS]"),
        roles={"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
        ends=("</s>",),
        model={"sliding_window": None},
        bos_added=True,
        separate_template=False,
    )


def _phi4mini() -> Family:
    return Family(
        model_type="phi3",
        tokenizer_class="GPT2Tokenizer",
        template=PHI4MINI_TEMPLATE,
        licence="mit",
        regex=O200K_REGEX,
        special=(
            "<|endoftext|>", "<|endofprompt|>", "<|assistant|>", "<|end|>", "<|user|>", "<|system|>",
            "<|tool|>", "<|/tool|>",
        ),
        roles=dict.fromkeys(("bos_token", "eos_token", "pad_token", "unk_token"), "<|endoftext|>"),
        ends=("<|end|>", "<|endoftext|>"),
        model={
            "tie_word_embeddings": True,
            "partial_rotary_factor": 0.75,
            "original_max_position_embeddings": 256,
            "rope_parameters": {
                "rope_type": "longrope", "rope_theta": 10000.0, "partial_rotary_factor": 0.75,
                "short_factor": [1.0] * 6, "long_factor": [1.0, 1.12, 1.35, 1.82, 2.7, 4.2],
            },
        },
        separate_template=False,
        multiple=32,
    )  # fmt: skip


def _smollm() -> Family:
    return Family(
        model_type="smollm3",
        tokenizer_class="PreTrainedTokenizerFast",
        template=SMOLLM_TEMPLATE,
        licence="apache-2.0",
        regex=CL100K_REGEX,
        special=(*_LLAMA3_SPECIAL, "<|im_start|>", "<|im_end|>"),
        plain=_THINK,
        roles={
            "bos_token": "<|begin_of_text|>",
            "eos_token": "<|im_end|>",
            "pad_token": "<|finetune_right_pad_id|>",
        },
        ends=("<|im_end|>",),
        model={"no_rope_layers": [1, 0], "tie_word_embeddings": True},
    )


def _gptoss() -> Family:
    return Family(
        model_type="gpt_oss",
        tokenizer_class="PreTrainedTokenizerFast",
        template=trl_template("gptoss"),
        licence="apache-2.0",
        regex=O200K_REGEX,
        special=(
            "<|startoftext|>", "<|endoftext|>", "<|return|>", "<|constrain|>", "<|channel|>", "<|start|>",
            "<|end|>", "<|message|>", "<|call|>",
        ),
        roles={"bos_token": "<|startoftext|>", "eos_token": "<|return|>", "pad_token": "<|endoftext|>"},
        ends=("<|return|>", "<|endoftext|>", "<|call|>"),
        model={
            "head_dim": 16,
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "sliding_window": 32,
            "intermediate_size": 64,
        },
        multiple=64,
        context=4096,
    )  # fmt: skip


_DEFINITIONS = {
    "llama3": _llama3, "granite3": _granite3, "granite4": _granite4, "qwen3": _qwen3,
    "mistral": _mistral, "phi4mini": _phi4mini, "smollm": _smollm, "gptoss": _gptoss,
}  # fmt: skip


def make_family(name: str, folder: Path, *, seed: int = 0) -> Path:
    """Write a tiny student of a family in Hugging Face layout; the same arguments give the same bytes."""
    defined = family(name)
    n_tokens = make_tokenizer(name, folder)
    ids = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["added_tokens"]
    _write_model(defined, folder, {token["content"]: token["id"] for token in ids}, n_tokens, seed)
    card = f"---\nlicense: {defined.licence}\n---\n\n# A tiny {name} with random weights\n"
    (folder / "README.md").write_text(card, encoding="utf-8")
    return folder


def make_tokenizer(name: str, folder: Path) -> int:
    """Write only the tokenizer files of a family; returns the number of its tokens."""
    defined = family(name)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _byte_level(defined) if defined.regex else _sentencepiece_like(defined)
    if defined.bos_added:
        _add_bos(tokenizer, defined.roles["bos_token"])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings: dict[str, Any] = {
        "tokenizer_class": defined.tokenizer_class,
        "model_max_length": defined.context,
        "clean_up_tokenization_spaces": False,
        **defined.roles,
    }
    if defined.separate_template:
        (folder / "chat_template.jinja").write_text(defined.template, encoding="utf-8")
    else:
        settings["chat_template"] = defined.template
    text = json.dumps(settings, indent=2, ensure_ascii=False)
    (folder / "tokenizer_config.json").write_text(text + "\n", encoding="utf-8")
    size: int = tokenizer.get_vocab_size()
    return size


def _byte_level(defined: Family) -> Any:
    from tokenizers import (
        AddedToken,
        Regex,
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        trainers,
    )

    tokenizer = Tokenizer(models.BPE(ignore_merges=defined.model_type in ("llama", "smollm3")))
    split = pre_tokenizers.Split(Regex(defined.regex), behavior="isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    steps = [pre_tokenizers.Digits(individual_digits=True)] if defined.digits else []
    if defined.regex == GPT2_REGEX:
        steps += [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    else:
        steps += [split, byte_level]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    tokenizer.decoder = decoders.ByteLevel()
    if defined.model_type == "qwen3":
        tokenizer.normalizer = normalizers.NFC()
    n_special = len(defined.special) + len(defined.plain)
    trainer = trainers.BpeTrainer(
        vocab_size=600 - n_special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_special_tokens(
        [AddedToken(text, special=True, normalized=False) for text in defined.special]
    )
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in defined.plain])
    return tokenizer


def _sentencepiece_like(defined: Family) -> Any:
    """BPE as SentencePiece makes it: special tokens and 256 byte tokens first, `▁` for a space."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=True)
    first = [*defined.special, *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=600 - len(first), limit_alphabet=90, show_progress=False)
    trained.train_from_iterator(CORPUS, trainer)
    learned = json.loads(trained.to_str())["model"]
    words = sorted(learned["vocab"], key=learned["vocab"].__getitem__)
    vocabulary = {text: number for number, text in enumerate([*first, *words])}
    merges = [tuple(pair) for pair in learned["merges"]]
    tokenizer = Tokenizer(
        models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens(
        [AddedToken(text, special=True, normalized=False) for text in defined.special]
    )
    return tokenizer


def _add_bos(tokenizer: Any, bos: str) -> None:
    from tokenizers import processors

    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A",
        pair=f"{bos} $A {bos}:1 $B:1",
        special_tokens=[(bos, tokenizer.token_to_id(bos))],
    )


def _write_model(defined: Family, folder: Path, ids: Mapping[str, int], n_tokens: int, seed: int) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    id_of = {role: ids[text] for role, text in defined.roles.items()}
    sizes = {
        "vocab_size": -(-n_tokens // defined.multiple) * defined.multiple,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": defined.context,
        "initializer_range": 0.1,
        "bos_token_id": id_of.get("bos_token"),
        "eos_token_id": id_of["eos_token"],
        "pad_token_id": id_of.get("pad_token"),
    }
    config = AutoConfig.for_model(defined.model_type, **{**sizes, **defined.model})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config)
    model.generation_config.eos_token_id = [ids[text] for text in defined.ends]
    model.to(torch.bfloat16).save_pretrained(folder)

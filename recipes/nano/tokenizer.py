"""Byte-level BPE with single tokens for common Chinese characters, and the chat template."""

from __future__ import annotations

import itertools
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from .lexicon import DATA
from .mixture import stream

PAD, SYSTEM, USER, ASSISTANT, END = SPECIALS = (
    "<|pad|>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|end|>",
)
VOCABULARY = 5120
_COMMON_CHARACTERS = 1500
# a Chinese character, a digit, a word with the space before it, other signs
_PIECES = r"\p{Han}|\p{N}| ?[\p{L}&&[^\p{Han}]]+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'system' -%}<|system|>{{ message['content'] }}<|end|>"
    "{%- elif message['role'] == 'user' -%}<|user|>{{ message['content'] }}<|end|>"
    "{%- elif message['role'] == 'assistant' -%}<|assistant|>"
    "{% generation %}{{ message['content'] }}<|end|>{% endgeneration %}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}"
)


def train_tokenizer(seed: int, rows: int = 60_000) -> Tokenizer:
    """Learn the vocabulary from the recipe's own rows; deterministic for a seed."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in SPECIALS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        max_token_length=24,
    )
    texts = [content for row in itertools.islice(stream(seed), rows) for _, content in row.messages]
    known = (DATA / "chars_zh.txt").read_text(encoding="utf-8").replace("\n", "")[:_COMMON_CHARACTERS]
    files = sorted(DATA.iterdir())
    used = "".join(file.read_text(encoding="utf-8") for file in files if file.name != "chars_zh.txt")
    characters = sorted({char for char in known + used if "\u4e00" <= char <= "\u9fff"})
    signs = "。，？！、：；“”《》（）…—·「」『』"
    texts += ["".join(characters) + signs] * 3000
    words = " ".join(file.read_text(encoding="utf-8") for file in files if file.suffix == ".txt")
    texts += [words] * 20
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write the tokenizer in the form that `AutoTokenizer` reads."""
    folder.mkdir(parents=True, exist_ok=True)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[SYSTEM, USER, ASSISTANT],
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
        chat_template=TEMPLATE,
    )
    wrapped.save_pretrained(folder)

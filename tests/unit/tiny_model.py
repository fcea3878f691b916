"""A real but tiny student, made on the spot: a two-layer Llama, a byte-level BPE, a marked chat template."""

from __future__ import annotations

import json
from pathlib import Path

SPECIAL_TOKENS = ("<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
CORPUS = (
    "The sky is blue and the sea is deep.",
    "What colour is the sky? The sky is blue.",
    "Where does the bird live? The bird lives in the forest.",
    "Who wrote the letter? Anna wrote the letter in the morning.",
    "How many pumps does the station have? It has 42 pumps.",
)
TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}"
    "<|assistant|>{% generation %}{{ message['content'] }}<|end|>{% endgeneration %}"
    "{% else %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
TEMPLATE_WITHOUT_TRAINED_END = TEMPLATE.replace("<|end|>{% endgeneration %}", "{% endgeneration %}<|end|>")
TEMPLATE_WITHOUT_MARKS = TEMPLATE.replace("{% generation %}", "").replace("{% endgeneration %}", "")


def make_tiny_student(
    folder: Path, *, template: str = TEMPLATE, seed: int = 0, vocabulary: int = 320, context: int = 256
) -> Path:
    """Write a student with random weights in Hugging Face layout; the same arguments give the same bytes."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|pad|>",
        eos_token="<|end|>",
        model_max_length=context,
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = template
    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(fast),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=context,
            tie_word_embeddings=True,
            initializer_range=0.2,
            pad_token_id=fast.pad_token_id,
            eos_token_id=fast.eos_token_id,
            bos_token_id=None,
        )
    )
    folder.mkdir(parents=True, exist_ok=True)
    model.to(torch.bfloat16).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def write_dataset(folder: Path, phases: dict[str, list[tuple[str, str]]]) -> Path:
    """Write a dataset artifact's data files: for each phase its (question, answer) rows."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "phases.json").write_text(json.dumps(list(phases)), encoding="utf-8")
    for phase, pairs in phases.items():
        rows = [
            {
                "messages": [
                    {"role": "user", "content": question},
                    {"role": "assistant", "content": answer},
                ],
                "id": f"{phase}-{number}",
                "leaf": "knowledge/tiny",
                "origin": "sample",
                "n_tokens": len(question) + len(answer),
                "metadata": {},
            }
            for number, (question, answer) in enumerate(pairs)
        ]
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{phase}.jsonl").write_text(text, encoding="utf-8")
    return folder

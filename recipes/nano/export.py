"""What ships: model folder, exam, replay set; and the score of a model on the exam."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from .exam import as_json, exam
from .mixture import stream
from .rows import TEXT, Row
from .scoring import right
from .tokenizer import save_tokenizer
from .train import make_model

REPLAY_ROWS = 20_000
_REPLAY_SEED = 7_000_000
_REPLAY_CHARACTERS = 420
_READING_KEPT = 0.4


def export_model(run: Path, target: Path) -> None:
    """Write the checkpoint of `run` as a folder that transformers loads, weights in bf16."""
    tokenizer = Tokenizer.from_file(str(run / "tokenizer.json"))
    state = torch.load(run / "checkpoint.pt", map_location="cpu", weights_only=True)
    model = make_model(tokenizer.get_vocab_size(), 0)
    model.load_state_dict(state["model"])
    model = model.to(torch.bfloat16)
    model.generation_config = GenerationConfig(
        do_sample=False, eos_token_id=4, pad_token_id=0, max_new_tokens=96
    )
    part = target.with_name(target.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    model.save_pretrained(part)
    save_tokenizer(tokenizer, part)
    target.mkdir(parents=True, exist_ok=True)
    for file in sorted(part.iterdir()):
        file.replace(target / file.name)
    part.rmdir()


def replay() -> Iterator[Row]:
    """Fresh rows of the training mixture, without the canon and without long passages.

    Passages are thinned out: a closed-book row keeps what it states for a fifth of the tokens.
    """
    thin = random.Random(_REPLAY_SEED)
    kept = (
        row
        for row in stream(_REPLAY_SEED)
        if row.category != "canon"
        and row.messages[0][0] != TEXT
        and sum(len(content) for _, content in row.messages) <= _REPLAY_CHARACTERS
        and (row.category != "reading" or thin.random() < _READING_KEPT)
    )
    return itertools.islice(kept, REPLAY_ROWS)


def export_sets(folder: Path) -> None:
    """Write `general_exam.jsonl` and `replay.jsonl.gz`; the same bytes every time."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(as_json(row, n), ensure_ascii=False) for n, row in enumerate(exam())]
    _write(folder / "general_exam.jsonl", "".join(line + "\n" for line in lines).encode())
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as file:
        for row in replay():
            messages = [{"role": role, "content": content} for role, content in row.messages]
            record = {"messages": messages, "category": row.category, "language": row.language}
            file.write((json.dumps(record, ensure_ascii=False) + "\n").encode())
    _write(folder / "replay.jsonl.gz", buffer.getvalue())


def _write(path: Path, content: bytes) -> None:
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    part.replace(path)


def answer(folder: Path, questions: list[str], batch: int = 32) -> list[str]:
    """Greedy answers of the model in `folder`, in float32."""
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    order = sorted(range(len(questions)), key=lambda i: len(questions[i]))
    outputs = [""] * len(questions)
    for start in range(0, len(order), batch):
        group = order[start : start + batch]
        chats = [[{"role": "user", "content": questions[i]}] for i in group]
        inputs = tokenizer.apply_chat_template(
            chats, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
        )
        with torch.inference_mode():
            made = model.generate(
                input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], max_new_tokens=64
            )
        texts = tokenizer.batch_decode(made[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        for i, text in zip(group, texts, strict=True):
            outputs[i] = text
    return outputs


def score(folder: Path) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Right answers by category and language, and every answer."""
    rows = exam()
    outputs = answer(folder, [row.question for row in rows])
    asked: Counter[str] = Counter()
    good: Counter[str] = Counter()
    answers = []
    for number, (row, output) in enumerate(zip(rows, outputs, strict=True)):
        verdict = right(output, row.answer, row.must)
        for key in (f"{row.category} {row.language}", row.language, "total"):
            asked[key] += 1
            good[key] += verdict
        answers.append({**as_json(row, number), "output": output, "right": verdict})
    return {key: f"{good[key]}/{asked[key]} = {good[key] / asked[key]:.3f}" for key in sorted(asked)}, answers

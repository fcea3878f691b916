"""Asking a model, and remembering what it said: the same question to the same weights is never asked twice.

A journal file per model lies in `<cache>/answers/`. A batch is appended in one write; a torn last line (power
cut, kill) is skipped when read. A batch of which anything is missing is asked again as a whole, so that
answers do not depend on where an earlier attempt was cut off.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from labtune.artifact import canonical_json, content_hash, file_hash
from labtune.errors import ModelError
from labtune.protocols import ChatModel, LikelihoodModel, Sampling
from labtune.types import ExamQuestion, Message

Progress = Callable[[int, int], None]
_Value = dict[str, object]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said. `stopped` is False when it ran into the length limit.

    `error` says why there is no answer: the model could not take the question.
    """

    text: str
    stopped: bool
    error: str = ""


def prompt_of(question: ExamQuestion) -> str:
    """The user's turn: the context, if there is one, a blank line, the question."""
    return f"{question.context}\n\n{question.question}" if question.context else question.question


def chat_of(question: ExamQuestion) -> tuple[Message, ...]:
    """The chat that is put before the model."""
    return (Message("user", prompt_of(question)),)


class AnswerCache:
    """Answers and likelihoods of one model.

    Args:
        folder: the lab's cache; None = nothing is remembered.
        model_id: content hash of the weights, tokenizer and template; "" = nothing is remembered.
    """

    def __init__(self, folder: Path | None, model_id: str) -> None:
        self._path = folder / "answers" / f"{model_id[:32]}.jsonl" if folder and model_id else None
        self._known: dict[str, _Value] = {}
        self._torn = False
        if self._path is not None and self._path.exists():
            self._read(self._path)

    def get(self, key: str) -> _Value | None:
        """The remembered value, or None."""
        return self._known.get(key)

    def put(self, values: dict[str, _Value]) -> None:
        """Remember a batch, on disk as well."""
        self._known.update(values)
        if self._path is None or not values:
            return
        text = "".join(f"{canonical_json({'key': key, **value})}\n" for key, value in values.items())
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as stream:
            stream.write(("\n" if self._torn else "").encode() + text.encode())
        self._torn = False

    def _read(self, path: Path) -> None:
        data = path.read_bytes()
        self._torn = bool(data) and not data.endswith(b"\n")
        for line in data.splitlines():
            try:
                value = json.loads(line)
            except ValueError:
                continue
            if isinstance(value, dict) and isinstance(value.get("key"), str):
                self._known[value.pop("key")] = value


def ask(
    model: ChatModel,
    questions: Sequence[ExamQuestion],
    *,
    sampling: Sampling,
    batch_size: int,
    cache: AnswerCache,
    progress: Progress = lambda _done, _total: None,
) -> list[Answer]:
    """Put all questions to a model, in batches of like length.

    A question that the model cannot take (longer than its context) is an unanswered question, not the end of
    the exam.

    Returns:
        Answers in the order of `questions`.

    Raises:
        ModelError: the model failed at every question.
    """
    keys = [content_hash("answer", prompt_of(q), sampling) for q in questions]

    def work(batch: Sequence[int]) -> list[_Value]:
        replies = model.complete([chat_of(questions[i]) for i in batch], sampling)
        return [{"text": reply.text, "stopped": reply.stopped} for reply in replies]

    plan = _batches([len(prompt_of(q)) for q in questions], keys, batch_size)
    values = _run(work, plan, keys, cache, progress, lanes_of(model))
    return [
        Answer(str(value.get("text", "")), bool(value.get("stopped")), str(value.get("error", "")))
        for value in values
    ]


def likelihoods(
    model: LikelihoodModel,
    pairs: Sequence[tuple[ExamQuestion, str]],
    *,
    batch_size: int,
    cache: AnswerCache,
    progress: Progress = lambda _done, _total: None,
) -> list[float]:
    """Mean log-probability per token of each answer to its question, in the order of `pairs`.

    A pair that the model cannot take scores minus infinity.

    Raises:
        ModelError: the model failed at every pair.
    """
    keys = [content_hash("likelihood", prompt_of(q), answer) for q, answer in pairs]

    def work(batch: Sequence[int]) -> list[_Value]:
        scores = model.loglikelihoods([chat_of(pairs[i][0]) for i in batch], [pairs[i][1] for i in batch])
        return [{"ll": score} for score in scores]

    plan = _batches([len(prompt_of(q)) + len(answer) for q, answer in pairs], keys, batch_size)
    values = _run(work, plan, keys, cache, progress, lanes_of(model))
    return [float(str(value.get("ll", -math.inf))) for value in values]


def _run(
    work: Callable[[Sequence[int]], list[_Value]],
    plan: Sequence[tuple[int, list[int]]],
    keys: Sequence[str],
    cache: AnswerCache,
    progress: Progress,
    lanes: int,
) -> list[_Value]:
    failed: dict[str, _Value] = {}
    error: ModelError | None = None
    unknown = [any(cache.get(keys[i]) is None for i in batch) for _, batch in plan]
    batches = [batch for (_, batch), asks in zip(plan, unknown, strict=True) if asks]
    with _lanes(lanes) as side_by_side:
        attempts = iter(side_by_side(partial(_attempt, work), batches))
        for (done, batch), asks in zip(plan, unknown, strict=True):
            if asks:
                values = dict(zip([keys[i] for i in batch], next(attempts), strict=True))
                cache.put({key: value for key, value in values.items() if not isinstance(value, ModelError)})
                for key, value in values.items():
                    if isinstance(value, ModelError):
                        error, failed[key] = value, {"error": value.message}
            progress(done, len(keys))
    if error is not None and len(failed) == len(set(keys)):
        raise error
    return [cache.get(key) or failed[key] for key in keys]


def _attempt(
    work: Callable[[Sequence[int]], list[_Value]], batch: Sequence[int]
) -> list[_Value | ModelError]:
    """A value, or the reason why there is none, for each of a batch."""
    try:
        return list(work(batch))
    except ModelError:
        # One question spoils a batch: find out which.
        found: list[_Value | ModelError] = []
        for i in batch:
            try:
                found += work([i])
            except ModelError as error:
                found.append(error)
        return found


@contextmanager
def _lanes(number: int) -> Iterator[Callable[..., Iterator[Any]]]:
    """A `map` that does so many at once, in threads; results come in order."""
    if number == 1:
        yield map
        return
    pool = ThreadPoolExecutor(number, thread_name_prefix="labtune-exam")
    try:
        yield pool.map
    finally:
        pool.shutdown(cancel_futures=True)


def lanes_of(model: ChatModel) -> int:
    """Batches that a model takes at once: its attribute `lanes`, or 1."""
    lanes: int = getattr(model, "lanes", 1)
    return lanes


def _batches(lengths: Sequence[int], keys: Sequence[str], batch_size: int) -> list[tuple[int, list[int]]]:
    """Batches of indices with the number done after each; equal keys are asked once."""
    first: dict[str, int] = {}
    for i, key in enumerate(keys):
        first.setdefault(key, i)
    order = sorted(first.values(), key=lambda i: (lengths[i], keys[i]))
    batches = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    sizes = dict.fromkeys(first, 0)
    for key in keys:
        sizes[key] += 1
    done, counted = 0, []
    for batch in batches:
        done += sum(sizes[keys[i]] for i in batch)
        counted.append((done, batch))
    return counted


def model_identity(folder: Path) -> str:
    """Content hash of a model folder: weights, configuration, tokenizer and template; other files aside."""
    kinds = (".safetensors", ".json", ".jinja", ".model", ".txt")
    files = sorted(path for path in folder.iterdir() if path.suffix in kinds)
    return content_hash(*((path.name, file_hash(path)) for path in files))

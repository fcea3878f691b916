"""A Hugging Face causal language model in this process: completes chats, streams, scores answers.

Shapes: B batch, T tokens. Batches are made of chats of similar length, and a row that has ended leaves its
batch, so an exam costs little more than its longest answers.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from labtune.errors import MissingDependencyError, ModelError
from labtune.models.device import choose_device
from labtune.models.masks import frame_of
from labtune.models.resolve import resolve_template
from labtune.models.stream import TextStream
from labtune.models.student import check_folder
from labtune.models.template import end_token, render_batch, render_prompts
from labtune.models.weights import read_object, read_shapes, weight_files
from labtune.protocols import Reply, Sampling
from labtune.types import Message

BATCH_TOKENS = 8192
"""Padded tokens in one batch: bounds memory, and is large enough to fill two cores."""

_SAME_MODEL = "take config.json and weights from the same model"

_IN_LAYER = re.compile(r"(?:^|\.)layers\.\d+\.")

_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")
"""How SentencePiece-like vocabularies write the tokens that are bytes."""
_DTYPES = {"fp32": "float32", "bf16": "bfloat16"}


class HfChatModel:
    """A `LikelihoodModel` over a loaded model and its tokenizer.

    The model is used as it is, in evaluation mode; `load` is the usual way to get one.
    """

    def __init__(self, model: Any, tokenizer: Any, *, name: str) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self._name = name
        self._stop = stop_tokens(model, tokenizer)
        self._context: int | None = getattr(model.config.get_text_config(), "max_position_embeddings", None)

    @classmethod
    def load(cls, path: Path, *, name: str, dtype: str = "fp32", device: str = "auto") -> HfChatModel:
        """Load a folder in Hugging Face layout.

        Args:
            path: folder with config, safetensors weights, tokenizer and chat template.
            name: identity for manifests and reports.
            dtype: `fp32` or `bf16`; weights are converted after reading.
            device: `auto` (CUDA, then Apple MPS, then CPU) or a torch device.

        Raises:
            ModelError: the folder is missing, incomplete, damaged or of a kind this process cannot run.
        """
        model, tokenizer = load_model(path, dtype=dtype)
        return cls(model.to(choose_device(device)).eval(), tokenizer, name=name)

    @property
    def name(self) -> str:
        """Identity for manifests and journals."""
        return self._name

    @property
    def context_length(self) -> int | None:
        """Tokens that prompt and answer may have together; None when the model does not say."""
        return self._context

    def complete(self, chats: Sequence[Sequence[Message]], sampling: Sampling) -> list[Reply]:
        """Complete each chat; replies in the order of `chats`.

        Greedy when `sampling.temperature` is 0. Otherwise each row draws from its own generator, seeded by
        `sampling.seed` and the row's prompt, so a reply does not depend on its neighbours.

        Raises:
            ModelError: a chat does not fit the model's context.
        """
        from labtune.models.decode import decode

        prompts = render_prompts(self.tokenizer, chats)
        limit = self._check_context(prompts)
        replies: list[Reply | None] = [None] * len(prompts)
        for batch in _batches([len(prompt) + sampling.max_tokens for prompt in prompts]):
            rows = [prompts[index] for index in batch]
            for index, row in zip(batch, decode(self.model, rows, sampling, self._stop, limit), strict=True):
                stopped = bool(row) and row[-1] in self._stop
                text = self._text(row[:-1] if stopped else row)
                replies[index] = Reply(text, stopped, len(prompts[index]), len(row))
        return [reply for reply in replies if reply is not None]

    def count(self, chat: Sequence[Message]) -> int:
        """Tokens of a chat as the model sees it, up to the point where it begins to answer."""
        return len(render_prompts(self.tokenizer, [chat])[0])

    def stream(self, chat: Sequence[Message], sampling: Sampling) -> TextStream:
        """Complete one chat, text piece by piece.

        Raises:
            ModelError: with the first piece: the chat does not fit the model's context.
        """
        stream = TextStream()
        stream.pieces = self._pieces(chat, sampling, stream)
        return stream

    def _pieces(
        self, chat: Sequence[Message], sampling: Sampling, stream: TextStream
    ) -> Generator[str, None, None]:
        from labtune.models.decode import decode_stream

        prompts = render_prompts(self.tokenizer, [chat])
        limit = self._check_context(prompts)
        stream.n_prompt_tokens = len(prompts[0])
        row: list[int] = []
        shown = ""
        for token in decode_stream(self.model, prompts[0], sampling, self._stop, limit):
            row.append(token)
            stream.n_tokens = len(row)
            text = self._text(row)
            # A character of several tokens decodes to U+FFFD until its last byte is there, and tokens that
            # are single bytes are read together with the bytes that follow.
            is_byte = _BYTE.fullmatch(str(self.tokenizer.convert_ids_to_tokens(token)))
            if not is_byte and not text.endswith("\ufffd"):
                yield text[len(shown) :]
                shown = text
        # Decoding ends early for one reason only: the end token came, which is not among the tokens.
        stream.stopped = len(row) < min(sampling.max_tokens, limit - len(prompts[0]))
        stream.n_tokens += stream.stopped
        rest = self._text(row)[len(shown) :]
        if rest:
            yield rest

    def loglikelihoods(self, chats: Sequence[Sequence[Message]], answers: Sequence[str]) -> list[float]:
        """Mean log-probability per token (nats) of each answer to its chat, end token included.

        Raises:
            ModelError: a chat with its answer does not fit the model's context.
        """
        from labtune.models.decode import answer_logprobs

        prompts = render_prompts(self.tokenizer, chats)
        whole = [[*chat, Message("assistant", answer)] for chat, answer in zip(chats, answers, strict=True)]
        rows: list[list[int]] = []
        masks: list[list[int]] = []
        for prompt, (ids, mask) in zip(prompts, render_batch(self.tokenizer, whole), strict=True):
            last = len(mask) - mask[::-1].index(1) if any(mask) else len(ids)
            rows.append(ids[:last])
            masks.append([0] * len(prompt) + mask[len(prompt) : last])
        self._check_context(rows)
        scores = [0.0] * len(rows)
        for batch in _batches([len(row) for row in rows]):
            found = answer_logprobs(self.model, [rows[i] for i in batch], [masks[i] for i in batch])
            for index, score in zip(batch, found, strict=True):
                scores[index] = score
        return scores

    def _text(self, ids: Sequence[int]) -> str:
        text: str = self.tokenizer.decode(ids, skip_special_tokens=True)
        return text

    def _check_context(self, rows: Sequence[Sequence[int]]) -> int:
        limit = self._context or 1 << 30
        longest = max((len(row) for row in rows), default=0)
        if longest >= limit:
            raise ModelError(
                f"a chat of {longest} tokens does not fit the {limit} tokens that {self._name} can read",
                hint="shorten the chat or its context",
            )
        return limit


def load_model(path: Path, *, dtype: str = "fp32") -> tuple[Any, Any]:
    """Load model (on the CPU) and tokenizer of a folder, translating what the libraries raise.

    Raises:
        ModelError: as in `HfChatModel.load`.
        MissingDependencyError: torch or transformers is not installed.
    """
    model = load_weights(path, dtype=dtype)
    tokenizer = load_tokenizer(path)
    check_vocabulary(model, tokenizer, path)
    return model, tokenizer


def check_vocabulary(model: Any, tokenizer: Any, path: Path) -> None:
    """Raise ModelError when the tokenizer in `path` is another model's.

    It has tokens that the model does not know, or reads none of the tokens with which the model ends a text
    as a control token. Embeddings with a few rows more than the tokenizer has tokens are usual.
    """
    vocabulary = model.get_input_embeddings().weight.shape[0]
    hint = "take the tokenizer's files from the same model as the weights"
    if len(tokenizer) > vocabulary:
        raise ModelError(
            f"the tokenizer in {path} ({len(tokenizer)} tokens) is not this model's ({vocabulary} tokens)",
            hint=hint,
        )
    ends = _configured_ends(model)
    control = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    if ends and not ends & control:
        first = min(ends)
        raise ModelError(
            f"the tokenizer in {path} is not this model's: a text ends with token {first}, which is "
            f"{tokenizer.decode([first])!r} there",
            hint=hint,
        )


def load_weights(path: Path, *, dtype: str = "fp32", **settings: Any) -> Any:
    """Load only the model of a folder, on the CPU unless `settings` of transformers say otherwise.

    Raises as `load_model`.
    """
    check_folder(path)
    try:
        import torch
        from safetensors import SafetensorError
        from transformers import AutoModelForCausalLM

        from labtune.models.quiet import no_warnings, quiet_libraries
    except ImportError as error:
        raise MissingDependencyError.for_extra("transformers and torch", "train") from error
    if dtype not in _DTYPES:
        raise ModelError(f"unknown dtype {dtype!r}", hint="fp32 or bf16")
    quiet_libraries()
    settings = {**_unpacking(path), **settings}
    try:
        with no_warnings():
            _check_shapes(path)
            model, info = AutoModelForCausalLM.from_pretrained(
                path,
                dtype=getattr(torch, _DTYPES[dtype]),
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                output_loading_info=True,
                **settings,
            )
    except SafetensorError as error:
        raise ModelError(f"the weights in {path} are damaged: {error}") from error
    except _load_errors() as error:
        raise ModelError(f"{path} cannot be loaded as a language model: {_first_line(error)}") from error
    _check_keys(path, info)
    return model


def _load_errors() -> tuple[type[Exception], ...]:
    """What transformers raises for files that are not as it expects them."""
    from huggingface_hub.errors import StrictDataclassError

    builtin = (OSError, ValueError, LookupError, RuntimeError, TypeError, AttributeError, ImportError)
    return (*builtin, ArithmeticError, StrictDataclassError)


def _check_shapes(path: Path) -> None:
    """Refuse a config.json that lies about a size before memory is taken for what it claims."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(path, trust_remote_code=False, local_files_only=True)
    if hasattr(config, "quantization_config"):
        return
    with torch.device("meta"):
        expected = AutoModelForCausalLM.from_config(config, trust_remote_code=False).state_dict()
    for file in weight_files(path):
        for name, shape in read_shapes(file).items():
            if name in expected and tuple(expected[name].shape) != shape:
                raise ModelError(
                    f"the weights in {path} do not fit its config.json, by which {name} would have the shape "
                    f"{list(expected[name].shape)}: it has {list(shape)}",
                    hint=_SAME_MODEL,
                )


def _unpacking(path: Path) -> dict[str, Any]:
    """Settings by which packed weights are unpacked (gpt-oss comes in MXFP4): packed they cannot be tuned."""
    packed = read_object(path / "config.json").get("quantization_config")
    if not isinstance(packed, dict) or packed.get("quant_method") != "mxfp4":
        return {}
    from transformers import Mxfp4Config

    return {"quantization_config": Mxfp4Config(dequantize=True)}


def _check_keys(path: Path, info: dict[str, Any]) -> None:
    """Refuse weights that found no place in the model, or the reverse: it would run, and be another one."""
    missing = sorted(info["missing_keys"]) + sorted(str(key) for key in info["mismatched_keys"])
    left = [key for key in sorted(info["unexpected_keys"]) if _IN_LAYER.search(key) and "rotary" not in key]
    if missing or left:
        reason = f"{missing[0]} is missing" if missing else f"the model has no place for {left[0]}"
        raise ModelError(
            f"the weights in {path} do not fit its config.json: {reason}",
            hint=_SAME_MODEL,
        )


def load_tokenizer(path: Path) -> Any:
    """Load a folder's tokenizer with its chat template, settled as `models.resolve` says.

    Raises:
        ModelError: it is missing, damaged or has no chat template, or the template cannot be settled.
    """
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise MissingDependencyError.for_extra("transformers", "train") from error
    from labtune.models.quiet import no_warnings

    try:
        with no_warnings():
            tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False, local_files_only=True)
    except _load_errors() as error:
        raise ModelError(f"the tokenizer in {path} cannot be loaded: {_first_line(error)}") from error
    if not tokenizer.is_fast or not len(tokenizer):
        raise ModelError(f"{path} has no usable tokenizer.json")
    if not tokenizer.chat_template:
        raise ModelError(
            f"the tokenizer in {path} has no chat template",
            hint="student.template: a file of the lab, such as chat_template.jinja of the family's instruct "
            "model",
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.chat_template = resolve_template(tokenizer)
    return tokenizer


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).strip().splitlines()]
    if len(lines) > 1 and lines[0].endswith(":"):
        return f"{lines[0]} {lines[1]}"
    return lines[0] if lines else type(error).__name__


def stop_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """Every token that ends a reply: the template's own, the tokenizer's, the generation config's."""
    found = {tokenizer.eos_token_id, end_token(tokenizer), frame_of(tokenizer).stop} | _configured_ends(model)
    return frozenset(token for token in found if token is not None)


def _configured_ends(model: Any) -> set[int]:
    configured = getattr(model.generation_config, "eos_token_id", None)
    ends = configured if isinstance(configured, list | tuple) else [configured]
    return {token for token in ends if isinstance(token, int)}


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices in batches of at most BATCH_TOKENS padded tokens, longest first; ties keep their order."""
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    batch: list[int] = []
    for index in order:
        if batch and lengths[batch[0]] * (len(batch) + 1) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch

"""A tokenizer as llama.cpp reads it: the tokens with their kinds, merges or scores, and the special ones."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labtune.artifact import read_json
from labtune.errors import DataError, ExportError, ModelError, TrainingError
from labtune.export.layouts import OTHER_WAYS
from labtune.export.pretokenizers import choose_pretokenizer
from labtune.models.template import end_token
from labtune.types import Message

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
"""llama.cpp's kinds of tokens."""

UNMERGED = -1e9
"""Score of a token that no merge makes: llama.cpp then joins it last."""

SAMPLE_CHATS: tuple[tuple[Message, ...], ...] = (
    (Message("user", "Which bird stores seeds for winter?"),),
    (
        Message("user", "企鹅吃什么？"),
        Message("assistant", "鱼。"),
        Message("user", "And where do they live?"),
    ),
)
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_GENERATION = re.compile(r"(\{%[-+]?)\s*(end)?generation\s*([-+]?%\})")
_PHI3 = re.compile(r"phi-?3", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What the GGUF file says about a tokenizer.

    Attributes:
        model: `gpt2` (byte-level BPE with merges) or `llama` (pieces with scores, spaces as U+2581).
        pre: name of llama.cpp's pre-tokeniser.
        special: ids by llama.cpp's names (`bos`, `eos`, `eot`, `eom`, `unk`, `pad`).
        strips: special tokens swallow the spaces behind them (Phi-3); llama.cpp sees that by the name.
        differing: odd texts that llama.cpp cuts otherwise.
    """

    model: str
    pre: str
    tokens: tuple[str, ...]
    kinds: tuple[int, ...]
    merges: tuple[str, ...]
    scores: tuple[float, ...]
    special: Mapping[str, int]
    add_bos: bool
    add_space_prefix: bool
    template: str
    strips: bool = False
    differing: tuple[str, ...] = ()

    @property
    def stops(self) -> tuple[str, ...]:
        """The texts of the tokens that end a reply."""
        ids = dict.fromkeys(self.special[name] for name in ("eos", "eot", "eom") if name in self.special)
        return tuple(self.tokens[token] for token in ids)

    def fitting_name(self, name: str) -> str:
        """The model's name, such that llama.cpp strips spaces if and only if the tokenizer does."""
        if self.strips:
            return name if _PHI3.search(name) else f"{name} (phi-3)"
        return _PHI3.sub("phi_3", name)


def read_vocabulary(folder: Path, tokenizer: Any, rows: int) -> Vocabulary:
    """What GGUF needs to know of a loaded tokenizer.

    Args:
        folder: the model's folder, for its generation settings.
        tokenizer: the tokenizer as training and evaluation load it.
        rows: rows of the embedding; ids without a token become unused ones.

    Raises:
        ExportError: llama.cpp cannot cut text as this tokenizer does.
        ModelError: the tokenizer has more tokens than the model.
    """
    text = tokenizer.backend_tokenizer.to_str()
    value = json.loads(text)
    kind = _kind(value)
    tokens, kinds = _tokens(value, rows, kind)
    rendered = [_rendered(tokenizer, chat) for chat in SAMPLE_CHATS]
    pre: str = "default"
    differing: tuple[str, ...] = ()
    if kind == "gpt2":
        choice = choose_pretokenizer(text, rendered)
        pre, differing = choice.name, choice.differing
    bos = tokenizer.bos_token_id
    starts = bos is not None and rendered[0].startswith(str(tokenizer.bos_token))
    pairs = _merges(value)
    return Vocabulary(
        model=kind,
        pre=pre,
        tokens=tokens,
        kinds=kinds,
        merges=tuple(f"{left} {right}" for left, right in pairs) if kind == "gpt2" else (),
        scores=_scores(value, pairs, rows) if kind == "llama" else (),
        special=_special(folder, tokenizer),
        add_bos=starts,
        add_space_prefix=kind == "llama" and _prefixes(value, starts_special=True),
        template=plain_template(tokenizer.get_chat_template()),
        strips=any(token["rstrip"] for token in value["added_tokens"]),
        differing=differing,
    )


def plain_template(template: str) -> str:
    """A chat template without generation marks, which other engines need not know; spaces are kept."""
    return _GENERATION.sub(lambda mark: f"{mark[1]} {'endif' if mark[2] else 'if true'} {mark[3]}", template)


def _rendered(tokenizer: Any, chat: Sequence[Message]) -> str:
    from labtune.models.quiet import no_warnings

    turns = [{"role": message.role, "content": message.content} for message in chat]
    with no_warnings():
        text: str = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    return text


def _kind(value: Mapping[str, Any]) -> str:
    model = value["model"]
    if model["type"] != "BPE":
        raise ExportError(
            f"a tokenizer of the kind {model['type']} cannot be written as GGUF", hint=OTHER_WAYS
        )
    if "ByteLevel" in {part["type"] for part in _parts(value["pre_tokenizer"], "pretokenizers")}:
        return "gpt2"
    if model.get("byte_fallback"):
        return "llama"
    raise ExportError(
        "this tokenizer is neither byte-level BPE nor has byte pieces; it cannot be written as GGUF",
        hint=OTHER_WAYS,
    )


def _parts(value: Mapping[str, Any] | None, inside: str) -> Iterator[Mapping[str, Any]]:
    if value is None:
        return
    yield value
    for part in value.get(inside, ()):
        yield from _parts(part, inside)


def _tokens(value: Mapping[str, Any], rows: int, kind: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    tokens = [f"[PAD{place}]" for place in range(rows)]
    kinds = [UNUSED] * rows
    unknown = value["model"].get("unk_token")
    added = {token["id"]: token for token in value["added_tokens"]}
    for text, place in {**value["model"]["vocab"], **{t["content"]: i for i, t in added.items()}}.items():
        if place >= rows:
            raise ModelError(f"the tokenizer has the token {place}, but the model only {rows} rows")
        tokens[place] = text
        kinds[place] = BYTE if kind == "llama" and _BYTE.fullmatch(text) else NORMAL
        if place in added:
            kinds[place] = CONTROL if added[place]["special"] else USER_DEFINED
        if text == unknown:
            kinds[place] = UNKNOWN
    return tuple(tokens), tuple(kinds)


def _merges(value: Mapping[str, Any]) -> list[tuple[str, str]]:
    pairs = [pair.split(" ", 1) if isinstance(pair, str) else pair for pair in value["model"]["merges"]]
    return [(left, right) for left, right in pairs]


def _scores(value: Mapping[str, Any], pairs: Sequence[tuple[str, str]], rows: int) -> tuple[float, ...]:
    """Earlier merges score higher; llama.cpp joins the neighbours whose token scores highest."""
    scores = [UNMERGED] * rows
    vocabulary = value["model"]["vocab"]
    for text, place in vocabulary.items():
        if len(text) == 1 or _BYTE.fullmatch(text):
            scores[place] = 0.0
    for rank, (left, right) in enumerate(pairs):
        place = vocabulary[left + right]
        scores[place] = max(scores[place], -float(rank + 1))
    return tuple(scores)


def _prefixes(value: Mapping[str, Any], *, starts_special: bool) -> bool:
    """Whether a space is put before the text that follows a special token."""
    if any(part["type"] == "Prepend" for part in _parts(value["normalizer"], "normalizers")):
        return True
    for part in _parts(value["pre_tokenizer"], "pretokenizers"):
        if part["type"] == "Metaspace":
            scheme = part.get("prepend_scheme", "always")
            return bool(scheme == "always" or (scheme == "first" and not starts_special))
    return False


def _special(folder: Path, tokenizer: Any) -> dict[str, int]:
    """llama.cpp ends a reply at `eos`, `eot` and `eom`: the tokenizer's, the template's, and one more."""
    special = {
        name: token
        for name, token in (
            ("bos", tokenizer.bos_token_id),
            ("eos", tokenizer.eos_token_id),
            ("unk", tokenizer.unk_token_id),
            ("pad", tokenizer.pad_token_id),
        )
        if token is not None
    }
    trained, configured = _trained_end(tokenizer), _configured_ends(folder)
    ends = [token for token in (trained, special.get("eos"), *configured) if token is not None]
    if not ends:
        raise ExportError("the model has no end token: nothing would end its replies in llama.cpp")
    special.setdefault("eos", ends[0])
    special["eot"] = ends[0]
    others = [token for token in ends if token not in (special["eos"], special["eot"])]
    if others:
        special["eom"] = others[0]
    # Without one, llama.cpp would take the eleventh token of the vocabulary; it is never put in front.
    special.setdefault("bos", special["eos"])
    return special


def _trained_end(tokenizer: Any) -> int | None:
    try:
        found = end_token(tokenizer)
    except TrainingError:
        # A template that cannot be trained with can still be served with.
        return None
    return found if found in tokenizer.added_tokens_decoder else None


def _configured_ends(folder: Path) -> list[int]:
    path = folder / "generation_config.json"
    if not path.is_file():
        return []
    try:
        ends = read_json(path).get("eos_token_id")
    except (DataError, AttributeError) as error:
        raise ModelError(f"{path} is damaged") from error
    return [int(token) for token in (ends if isinstance(ends, list) else [ends]) if token is not None]

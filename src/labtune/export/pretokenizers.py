"""Which of llama.cpp's pre-tokenisers cuts text as a model's own tokenizer does.

llama.cpp knows its pre-tokenisers by name (`tokenizer.ggml.pre`) and has their patterns built in. The right
one is found by doing: the model's vocabulary is put behind each of them, and the tokens are compared.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labtune.errors import ExportError
from labtune.export.layouts import OTHER_WAYS

_SUFFIX = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
_ANY_CASE = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
_LOWER_END = r"[^\r\n\p{L}\p{N}]?((?=[\p{L}])([^a-z]))*((?=[\p{L}])([^A-Z]))+"
_UPPER_START = r"[^\r\n\p{L}\p{N}]?((?=[\p{L}])([^a-z]))+((?=[\p{L}])([^A-Z]))*"
_SLASHES = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"


@dataclass(frozen=True, slots=True)
class PreTokenizer:
    """One of llama.cpp's: its name, the patterns applied in turn, and whether whole words skip the merges.

    `published` is the pattern of the tokenizer that llama.cpp's is modelled on, where they are written
    differently.
    """

    name: str
    patterns: tuple[str, ...]
    ignore_merges: bool = False
    published: str = ""


_CL100K = rf"{_ANY_CASE}|{_WORDS}|\p{{N}}{{1,3}}{_REST}"
_CAPITALS, _SMALL = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_O200K = r"[^\r\n\p{L}\p{N}]?"

CANDIDATES = (
    PreTokenizer("llama-bpe", (rf"{_SUFFIX}|{_WORDS}|\p{{N}}{{1,3}}{_REST}",), True, _CL100K),
    PreTokenizer("dbrx", (rf"{_SUFFIX}|{_WORDS}|\p{{N}}{{1,3}}{_REST}",), published=_CL100K),
    PreTokenizer(
        "qwen2", (rf"{_SUFFIX}|{_WORDS}|\p{{N}}{_REST}",), published=_CL100K.replace(r"\p{N}{1,3}", r"\p{N}")
    ),
    PreTokenizer(
        "tekken",
        (rf"{_LOWER_END}|{_UPPER_START}|\p{{N}}{_SLASHES}",),
        ignore_merges=True,
        published=rf"{_O200K}{_CAPITALS}*{_SMALL}+|{_O200K}{_CAPITALS}+{_SMALL}*|\p{{N}}{_SLASHES}",
    ),
    PreTokenizer(
        "gpt-4o",
        (rf"{_LOWER_END}{_SUFFIX}?|{_UPPER_START}{_SUFFIX}?|\p{{N}}{{1,3}}{_SLASHES}",),
        published=(
            rf"{_O200K}{_CAPITALS}*{_SMALL}+{_ANY_CASE}?|{_O200K}{_CAPITALS}+{_SMALL}*{_ANY_CASE}?"
            rf"|\p{{N}}{{1,3}}{_SLASHES}"
        ),
    ),
    PreTokenizer("smollm", (r"\p{N}", _GPT2)),
    PreTokenizer("gpt-2", (_GPT2,)),
    PreTokenizer(
        "seed-coder",
        (rf"{_SUFFIX}|{_WORDS}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+",),
    ),
)
"""In order of preference among equals. Source: llama.cpp, `src/llama-vocab.cpp`."""

PLAIN = (
    "The chickadee stores up to 1,000 seeds a day; it finds most of them again in winter.",
    "What isn't covered? It's the third of May 2024, and they'll ask why we're late.",
    "Total: 42 pumps, 3.5 bar, 100% (see §4.2) -- ask `config.yaml` or mail help@example.org!",
    "A list:\n- first item\n- second item\n\nNew paragraph here.",
    "El niño comió una manzana; ¿qué más quería? La señora sonrió.",
    "Où est la bibliothèque ? C'est à côté de l'église, près du cœur de ville.",
    "Über die Brücke geht's nach Köln, Straße 7.",
    "企鹅生活在南极。它们吃鱼、磷虾和鱿鱼，共有18种。",
    "病人每天服用两次，每次5毫克。",
    "東京は日本の首都です。人口は約1400万人です。",
    "서울은 대한민국의 수도입니다.",
    "Москва — столица России, население 13 млн.",
    "القاهرة هي عاصمة مصر.",
    "दिल्ली भारत की राजधानी है।",
)
"""Text as people write it: tokens must be the same on every line."""

ODD = (
    "'told' he 'll 'RE 'm sure 'D'S 'the' 'some 'days",
    "tabs\t\tand   runs  of   spaces \n \n\n  end  ",
    "def f(x):\r\n    return {'a': x**2, \"b\": [1,2,3]}  # ok\r\n",
    "camelCase HTTPServer iPhone McDONALD NASA's XMLHttpRequest2",
    "3 33 333 3333 33333 333333 1.234.567,89 0x1F 1e-5",
    "🚀✨ emoji 👩‍👩‍👧 and … dots ... !!! ??? ====== ~~~~ ````",
    "ÉCOLE Éclair straßeÄÖÜ ǅungla ﬁne Ⅷ ½ x² H₂O",
    "中文English混排123数字",
)
"""Text that pre-tokenisers disagree about; a difference here is told, and does not stop the export."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The pre-tokeniser that fits, and the odd texts that it nevertheless cuts otherwise."""

    name: str
    differing: tuple[str, ...]


def choose_pretokenizer(tokenizer_json: str, prompts: Sequence[str] = ()) -> Choice:
    """Find llama.cpp's name for a byte-level tokenizer's way of cutting text.

    Args:
        tokenizer_json: the tokenizer as `tokenizers` writes it.
        prompts: rendered chats; their tokens must be the same too.

    Raises:
        ExportError: none of llama.cpp's pre-tokenisers gives the same tokens for plain text.
    """
    from tokenizers import Tokenizer

    value = json.loads(tokenizer_json)
    real = Tokenizer.from_str(tokenizer_json)
    texts = (*PLAIN, *prompts)
    wanted = [_ids(real, text) for text in texts]
    odd = [_ids(real, text) for text in ODD]
    tried = []
    for order, candidate in enumerate(CANDIDATES):
        tokenizer = Tokenizer.from_str(_with_patterns(json.loads(tokenizer_json), candidate))
        wrong, strange = _differing(tokenizer, texts, wanted), _differing(tokenizer, ODD, odd)
        kin = _likeness(value, candidate)
        tried.append(((len(wrong), -kin, len(strange), order), candidate.name, wrong, strange))
    _rank, name, wrong, strange = min(tried)
    if wrong:
        raise ExportError(
            f"no pre-tokeniser of llama.cpp cuts text as this model's tokenizer does; the nearest ({name}) "
            f"differs at {wrong[0][:60]!r}",
            hint=OTHER_WAYS,
        )
    return Choice(name, strange)


def _likeness(value: Mapping[str, Any], candidate: PreTokenizer) -> int:
    """2: the tokenizer has the very pattern and rule about merges; 1: the pattern; 0: neither."""
    if f'"Regex": {json.dumps(candidate.published)}' not in json.dumps(value["pre_tokenizer"]):
        return 0
    return 2 if bool(value["model"].get("ignore_merges")) == candidate.ignore_merges else 1


def _differing(tokenizer: Any, texts: Sequence[str], wanted: Sequence[list[int]]) -> tuple[str, ...]:
    return tuple(text for text, ids in zip(texts, wanted, strict=True) if _ids(tokenizer, text) != ids)


def _ids(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids


def _with_patterns(value: dict[str, Any], candidate: PreTokenizer) -> str:
    """The tokenizer as llama.cpp would run it: its vocabulary and merges behind the candidate's patterns."""
    splits: list[Mapping[str, Any]] = [
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        for pattern in candidate.patterns
    ]
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    value["normalizer"] = value["post_processor"] = None
    value["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [*splits, level]}
    value["model"]["ignore_merges"] = candidate.ignore_merges
    for token in value["added_tokens"]:
        token |= {"lstrip": False, "rstrip": False, "single_word": False, "normalized": False}
    return json.dumps(value, ensure_ascii=False)

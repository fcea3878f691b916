"""Pieces of a Chinese sentence that laypeople's questions are built around, and the frames for them."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from itertools import combinations

from labtune.generation.chinese.clauses import topic_of
from labtune.generation.chinese.modals import split_modal
from labtune.generation.lexicon import load_lexicon
from labtune.generation.rows import Ask, Piece

FORMS = {
    "need": "obligation",
    "need_who": "obligation",
    "ban": "permission",
    "ban_who": "permission",
    "can": "permission",
    "free": "obligation",
    "free_who": "obligation",
    "limit": "deadline",
    "state": "hearsay",
    "doubt": "hearsay",
    "pair": "pair",
}
"""What the questions around a kind of piece are called in reports."""
WEIGHTS = {"need": 5, "ban": 5, "can": 4, "free": 4, "need_who": 5, "ban_who": 5, "free_who": 5, "limit": 4}
"""How often a kind is drawn; 2 where it is not named here."""

_KINDS = {"need": "need", "cannot": "ban", "can": "can", "noneed": "free", "nocharge": "free"}
_WHO = re.compile(r"(.{1,12}?)(?:的人|的患者|的病人|患者|的儿童|的孩子|的老人|的读者|的顾客|的旅客|的学生)$")
_LIMIT = re.compile(r"(.{1,12}?)(?:要|必须|应当|应|需)?在(.{2,14}?)(?:以内|之内|以前|之前|内|前)(.{2,8})$")
_NUMBER = re.compile(
    r"(?<![\d.:：-])([2-9]|[1-9]\d{1,2})(?![\d.:：-]|号)|([二三四五六七八九])(?=[楼层天周年次名位倍种])"
)
_ASKING = re.compile(r"[哪谁几]|什么|多少|怎么|最[晚早]$")
_NUMERALS = "二三四五六七八九"
_LONGEST = 30
_SEARCH_CASE = 0.3


def clause_pieces(base: str) -> Iterator[Piece]:
    """Pieces of one clause that stands on its own."""
    if len(base) > _LONGEST:
        return
    yield Piece("state", (("s", base),))
    for other in other_numbers(base):
        yield Piece("doubt", (("s", other),))
    found = split_modal(base)
    if found is not None:
        head, verb, polarity = found
        yield from _modal(head.rstrip("，"), verb, polarity)
    limit = _LIMIT.match(base)
    if limit is not None and re.search(r"[\d一二两三四五六七八九十天年月点]", limit.group(2)):
        yield Piece("limit", tuple(zip("hdv", limit.groups(), strict=True)))


def _modal(head: str, verb: str, polarity: str) -> Iterator[Piece]:
    kind = _KINDS[polarity]
    who = _WHO.match(head)
    if who is not None and kind != "can":
        yield Piece(f"{kind}_who", (("w", who.group(1)), ("v", verb)))
    elif len(head) <= 16 and not head.endswith(("只", "才", "上午", "下午")):
        yield Piece(kind, (("h", head), ("v", verb)))


def other_numbers(text: str) -> Iterator[str]:
    """The statement with another number: what people remember wrongly."""
    found = _NUMBER.search(text)
    if found is None:
        return
    if found.group(2):
        place = _NUMERALS.index(found.group(2))
        others = [_NUMERALS[(place + step) % len(_NUMERALS)] for step in (1, 3)]
    else:
        number = int(found.group(1))
        others = [
            str(other) for other in (number * 2, number + max(1, number // 10), number // 2) if other > 1
        ]
    for other in dict.fromkeys(others):
        yield text[: found.start()] + other + text[found.end() :]


def pair_pieces(words: Sequence[tuple[str, int]]) -> Iterator[Piece]:
    """Two words of a sentence, at least one of which few other sentences hold.

    Args:
        words: each with the number of the document's passages that hold it.
    """
    items = [item for item in words if _thing(item[0])][:5]
    pairs = [(left, right) for left, right in combinations(items, 2) if min(left[1], right[1]) <= 2]
    for left, right in pairs[:6]:
        yield Piece("pair", (("a", left[0]), ("b", right[0])))
        yield Piece("pair", (("a", right[0]), ("b", left[0])))


def _thing(word: str) -> bool:
    return 2 <= len(word) <= 8 and not re.search(r"\d|^[个位名次张份件针]|[前后时的地得]$", word)


def situation(piece: Piece, draw: random.Random) -> tuple[str, bool]:
    """A filled frame without its end mark, and whether it is typed into a search box."""
    lexicon = load_lexicon("zh_situations")
    frame = str(draw.choice(lexicon[piece.kind]))
    text = _person(frame.removeprefix("~"), draw).format_map(dict(piece.slots))
    permission = (
        piece.kind in ("ban", "can", "ban_who") and text.endswith(("行吗", "可以吗")) and "，" not in text
    )
    if permission and draw.random() < _SEARCH_CASE:
        text = f"{text}，{draw.choice(lexicon['tails'])}"
    return text.replace("要在", "在") if "忘了" in text else text, frame.startswith("~")


def _person(frame: str, draw: random.Random) -> str:
    return frame.replace("P", str(draw.choice(load_lexicon("zh_situations")["people"])), 1)


def lead_in(ask: Ask, subject: str, draw: random.Random) -> Ask | None:
    """`药房在几楼` -> `我想问药房的事，在几楼`: Chinese leaves a known subject out."""
    topic = next(
        (item for item in (subject, topic_of(ask.text)) if len(item) > 1 and ask.text.startswith(item)), ""
    )
    rest = ask.text[len(topic) :]
    if (
        not topic
        or _ASKING.search(topic)
        or len(rest) < 3
        or "，" in ask.text
        or rest[0] in "的和与、前后时里"
    ):
        return None
    lead = _person(str(draw.choice(load_lexicon("zh_situations")["leads"])), draw).format(t=topic)
    return Ask(lead + rest, "story", short=ask.short, family="story")

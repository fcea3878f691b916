"""Questions on what one may, must or need not do."""

from __future__ import annotations

import re
from collections.abc import Iterator

from labtune.generation.rows import Ask

_MODALS = (
    ("不可以", "cannot"),
    ("不能", "cannot"),
    ("不得", "cannot"),
    ("不允许", "cannot"),
    ("禁止", "cannot"),
    ("不要", "cannot"),
    ("不应", "cannot"),
    ("不用", "noneed"),
    ("不需要", "noneed"),
    ("不必", "noneed"),
    ("不收", "noneed"),
    ("可以", "can"),
    ("必须", "need"),
    ("需要", "need"),
    ("应该", "need"),
    ("应当", "need"),
    ("要", "need"),
    ("能", "can"),
    ("须", "need"),
)


_LONGEST = 36
_ACTIVITY = re.compile(
    "办理|申请|取消|使用|参加|领取|购买|预约|退|换|借|还|做|打|来|去|进入|乘坐|参观|报名|住院|挂号|就诊|看"
)


def modal_asks(base: str) -> Iterator[Ask]:
    """Questions on the first modal word of a clause."""
    found = _find(base)
    if found is not None:
        word, place, polarity = found
        head, tail = base[:place], base[place + len(word) :]
        if tail and len(base) <= _LONGEST:
            yield from _modal_frames(head, word, tail, polarity)


def split_modal(base: str) -> tuple[str, str, str] | None:
    """(what stands before the modal word, what after it, what it says: need, can, cannot, noneed ...)."""
    found = _find(base)
    if found is None:
        return None
    word, place, polarity = found
    tail = base[place + len(word) :]
    charge = "交" if word == "不收" else ""
    return (base[:place], charge + tail, polarity) if len(tail) > 1 else None


def _find(base: str) -> tuple[str, int, str] | None:
    for word, polarity in _MODALS:
        place = base.find(word)
        if (
            place < 0
            or (word == "要" and base[place : place + 2] in ("要求", "要是", "要么", "要素"))
            or (word == "能" and base[place - 1 : place] in ("功", "可", "智", "不", "性"))
        ):
            continue
        return word, place, polarity
    return None


def _modal_frames(head: str, word: str, tail: str, polarity: str) -> Iterator[Ask]:
    if polarity in ("can", "cannot"):
        positive = {"不要": "", "禁止": ""}.get(word, "能")
        for text in (
            f"{head}能{tail}吗",
            f"{head}可以{tail}吗",
            f"{head}能不能{tail}",
            f"{head}可不可以{tail}",
        ):
            yield Ask(text, "permission", polarity=polarity, weight=3, family="yes_no")
        if polarity == "cannot" and not positive:
            yield Ask(f"{head}{tail}行不行", "permission", polarity=polarity, weight=2, family="yes_no")
            yield Ask(f"{head}可以{tail}吗", "permission", polarity=polarity, weight=2, family="yes_no")
    elif word == "不收":
        yield Ask(f"{head}要{tail}吗", "permission", polarity="nocharge", weight=3, family="yes_no")
        yield Ask(f"{head}收不收{tail}", "permission", polarity="nocharge", weight=3, family="yes_no")
        yield Ask(f"{head}还要交{tail}吗", "permission", polarity="nocharge", weight=3, family="yes_no")
        yield Ask(f"{head}要再付{tail}吗", "permission", polarity="nocharge", weight=2, family="yes_no")
    elif polarity == "noneed":
        for text in (
            f"{head}要{tail}吗",
            f"{head}需要{tail}吗",
            f"{head}要不要{tail}",
            f"{head}用{tail}吗",
            f"{head}必须{tail}吗",
        ):
            yield Ask(text, "permission", polarity=polarity, weight=3, family="yes_no")
    else:
        for text in (
            f"{head}要{tail}吗",
            f"{head}需要{tail}吗",
            f"{head}要不要{tail}",
            f"{head}一定要{tail}吗",
        ):
            yield Ask(text, "permission", polarity=polarity, weight=2, family="yes_no")
    yield from _condition_frames(head)


def _condition_frames(head: str) -> Iterator[Ask]:
    """`抽血前`, `体温超过37.5度的人`: what to do."""
    head = head.rstrip("，先都也还")
    if not 2 < len(head) <= 20:
        return
    if head.endswith(("时", "前", "后", "时候", "以前", "以后", "之前", "之后", "期间", "内")):
        for tail in (
            "要做什么",
            "要注意什么",
            "有什么要求",
            "怎么办",
            "需要注意些什么",
            "要准备什么",
            "该怎么做",
        ):
            yield Ask(f"{head}{tail}", "condition", weight=2)
    elif head.endswith(("的人", "患者", "的患者", "病人", "儿童", "者")):
        for tail in ("要怎么办", "要注意什么", "有什么规定", "该怎么做", "要做什么"):
            yield Ask(f"{head}{tail}", "condition", weight=2)
        who = re.sub("的(?:人|患者|病人|儿童)$", "", head)
        if who != head:
            yield Ask(
                f"{who}了怎么办" if not who.endswith(("好", "了")) else f"{who}怎么办", "condition", weight=2
            )
            yield Ask(f"我{who}，该怎么办", "condition", weight=2)
    elif head.endswith(("里", "内", "中")) or _ACTIVITY.match(head):
        for tail in ("要注意什么", "有什么要求", "有什么规定"):
            yield Ask(f"{head}{tail}", "condition", weight=1)

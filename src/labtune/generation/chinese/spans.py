"""Typed spans of a Chinese sentence: numbers with measure words, times, places, persons."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from labtune.generation.lexicon import word_set

NUMBER = r"(?:\d[\d,]*(?:\.\d+)?|[零一二两三四五六七八九十百千万亿半]+)"
_ABOUT = r"(?:大约|大概|约|至少|最多|最少|不少于|不超过|超过|近|将近)?"
_UNIT_TIME = r"(?:个?工作日|个?小时|个?钟头|分钟|秒钟?|个?星期|周|天|日|个?月|年|个世纪|岁)"
_CLOCK = (
    r"(?:\d{1,2}|[一二两三四五六七八九十]{1,3})"
    r"(?:点(?:钟|半|\d{1,2}分?|[一二三四五]?十[一二三四五六七八九]?分)?|[:：]\d{2})"
)
_PART = r"(?:上午|下午|早上|早晨|晚上|中午|凌晨|夜里|傍晚)"
_DAY = r"(?:每?(?:周|星期|礼拜)[一二三四五六日天末])"
_MEASURES = sorted(word_set("zh_words", "measures"), key=lambda word: (-len(word), word))


@dataclass(frozen=True, slots=True)
class TypedSpan:
    """A span and the words that can stand in its place in a question."""

    start: int
    end: int
    kind: str
    asks: tuple[str, ...]


_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("always", re.compile(r"(?:每天)?(?:24|二十四)小时(?=开放|服务|营业|有人|值班|接诊)")),
    ("phone", re.compile(r"(?<![\d-])(?:\d{3,4}-\d{4,8}|1\d{10}|\d{3}-\d{3}-\d{4}|\d{5,8})(?![\d元])")),
    (
        "date",
        re.compile(
            r"(?:公元前)?\d{1,4}年(?:\d{1,2}月(?:\d{1,2}[日号])?)?(?:[至到-]\d{1,4}年?(?:\d{1,2}月(?:\d{1,2}[日号])?)?)?(?![以之]?[内后前])|\d{1,2}月\d{1,2}[日号]|\d{1,2}世纪(?:\d0年代)?"
        ),
    ),
    (
        "clock",
        re.compile(
            rf"(?:(?:当天|前一天|第二天|次日|每天){_PART}?|{_PART})?{_CLOCK}(?:[至到—~-]{_PART}?{_CLOCK})?"
        ),
    ),
    ("weekday", re.compile(rf"{_DAY}(?:[、和与及至到]{_DAY})*{_PART}?")),
    ("money", re.compile(rf"{_ABOUT}{NUMBER}(?:万|亿)?(?:元|块钱?|美元|欧元|日元)")),
    ("percent", re.compile(rf"{_ABOUT}{NUMBER}%|百分之{NUMBER}|{NUMBER}分之{NUMBER}")),
    (
        "temperature",
        re.compile(rf"(?:零下)?{NUMBER}(?:摄氏度|度|℃|°C)(?:[至到~-]{NUMBER}(?:摄氏度|度|℃|°C))?"),
    ),
    ("ordinal", re.compile(rf"第{NUMBER}(?:天|周|年|个月|次|名|位|届|章|条|步)")),
    ("duration", re.compile(rf"{_ABOUT}{NUMBER}(?:[至到~-]{NUMBER})?{_UNIT_TIME}(?:半)?")),
    ("floor", re.compile(rf"(?:地下)?{NUMBER}(?:楼|层)(?:[东西南北](?:侧|边|面)|大厅)?")),
    ("volume", re.compile(rf"{_ABOUT}{NUMBER}(?:毫升|升)")),
    ("length", re.compile(rf"{_ABOUT}{NUMBER}(?:平方米|平方公里|立方米|厘米|毫米|公里|千米|米|公分|英寸)")),
    ("weight", re.compile(rf"{_ABOUT}{NUMBER}(?:千克|公斤|毫克|克|斤|吨)")),
    ("count", re.compile(rf"{_ABOUT}({NUMBER})({'|'.join(_MEASURES)})(?![一二三四五六七八九十])")),
)


def typed_spans(text: str) -> list[TypedSpan]:
    """Spans of a sentence that a question can ask for, left to right, without overlap."""
    taken: list[tuple[int, int]] = []
    found: list[TypedSpan] = []
    for kind, pattern in _PATTERNS:
        for match in pattern.finditer(text):
            start, end = match.span()
            if start == end or any(start < right and end > left for left, right in taken):
                continue
            asks = tuple(_asks(kind, match, text))
            taken.append((start, end))
            if asks:
                found.append(TypedSpan(start, end, kind, asks))
    found.extend(_places(text, taken))
    return sorted(found, key=lambda span: span.start)


_FIXED = {
    "always": ("什么时候", "什么时间", "几点到几点"),
    "percent": ("多少", "百分之多少", "百分之几"),
    "temperature": ("多少度",),
}


def _asks(kind: str, match: re.Match[str], text: str) -> Iterator[str]:
    word = match.group()
    before, after = text[: match.start()], text[match.end() :]
    if kind in _FIXED:
        yield from _FIXED[kind]
    elif kind in ("date", "clock", "weekday"):
        yield from _time_words(kind, word, after)
    elif kind == "duration":
        yield from _duration(word, before)
    elif kind == "ordinal":
        yield re.sub(NUMBER, "几", word)
    else:
        yield from _amount(kind, match, before)


def _time_words(kind: str, word: str, after: str) -> Iterator[str]:
    if kind == "date":
        year = re.fullmatch(r"(?:公元前)?\d{1,4}年", word)
        yield from ("什么时候", "哪一年", "哪年") if year else ("什么时候", "什么时间")
    elif kind == "weekday":
        if not after.startswith(("和", "、", "及")):
            yield from ("星期几", "周几", "什么时候", "哪天")
    elif re.search("[至到—~-]", word):
        yield from ("几点到几点", "什么时候", "什么时间")
    else:
        prefix = "前一天" if word.startswith("前一天") else ""
        yield from (f"{prefix}几点", f"{prefix}什么时候")


def _amount(kind: str, match: re.Match[str], before: str) -> Iterator[str]:
    if kind == "phone":
        yield from ("多少", "什么") if re.search("电话|号码|热线|传真", before) else ()
    elif kind == "money":
        yield from ("多少钱", "多少", "几块钱") if before.endswith("是") else ("多少钱", "多少")
    elif kind == "floor":
        yield from ("几楼", "哪一层", "哪里", "哪层楼") if before.endswith("在") else ("几楼",)
    elif kind in ("volume", "length", "weight"):
        unit = re.sub(rf"^{_ABOUT}{NUMBER}", "", match.group())
        yield from (f"多少{unit}", "多少")
    elif match.group(1) not in ("一", "半"):
        unit = match.group(2)
        yield from (f"几{unit}", f"多少{unit}") if unit not in ("号", "级") else (f"几{unit}",)


def _duration(word: str, before: str) -> Iterator[str]:
    unit = re.sub(rf"^{_ABOUT}{NUMBER}(?:[至到~-]{NUMBER})?", "", word)
    if unit == "岁":
        yield "几岁"
        return
    if word in ("一天", "一年", "一日", "半天") or unit == "日" or before.endswith(("每", "第", "前一")):
        return
    several = f"几{unit}" if not unit.startswith(("分", "秒")) else f"多少{unit}"
    if before.endswith(("前", "头", "后")):
        yield several
        return
    yield from ("多久", "多长时间", several)


_PLACE = re.compile(
    r"在([^，。、；在于\s]{1,10}?(?:路|街|道|巷)\d+号(?:[^，。的]{0,6}?(?:楼|室|层))?)(?=$|[^\d])|"
    r"在((?:[^，。、；在于\s]){1,9}?(?:上面|旁边|附近|里面|中心|窗口|机器?上|网上|程序里|室|台|厅|处|侧|旁|里|上|内|门口|院|馆|市|省|县|国|洲|镇|村|街|路|站|口|园|湾|岛|湖|海|山|区|公司|大学))"
    r"(?=[^的和与、一]|$)"
)


def _places(text: str, taken: list[tuple[int, int]]) -> Iterator[TypedSpan]:
    for match in _PLACE.finditer(text):
        start, end = match.span(1) if match.group(1) else match.span(2)
        if any(start < right and end > left for left, right in taken) or text[start:end].endswith(
            ("时间里", "期间内", "基础上", "程度上", "以内")
        ):
            continue
        yield TypedSpan(start, end, "place", ("哪里", "哪儿", "什么地方"))
        return

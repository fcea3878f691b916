"""Questions for a table cell in Chinese."""

from __future__ import annotations

import re
from collections.abc import Iterator

from labtune.generation.chinese.spans import typed_spans
from labtune.generation.lexicon import load_lexicon
from labtune.generation.rows import Ask
from labtune.types import TableStatement


def cell_asks(statement: TableStatement, offset: int, text: str) -> Iterator[Ask]:
    """Asks for one cell: by row and column, by what the value is, and back from the value."""
    row, column, value = statement.row, statement.column, statement.value
    place = text.rfind(value)
    short = (offset + place, offset + place + len(value)) if place >= 0 else None
    for tail in ("是什么", "呢", "是哪个"):
        yield Ask(f"{row}的{column}{tail}", "table_cell", short=short, weight=2)
    yield Ask(f"{row}{column}是什么", "table_cell", short=short, weight=2)
    if any(word in column for word in str(load_lexicon("zh_questions")["person_columns"]).split()):
        yield from _person(row, column, value, short)
    elif _kind(column, value) == "floor":
        yield from _where(row, column, value, short)
    else:
        for frame in _FRAMES.get(_kind(column, value), ()):
            yield Ask(frame.format(r=row, c=column), "table_cell", short=short, weight=4)
    yield Ask(f"{text.rstrip('。')}吗", "yes_no", polarity="yes", weight=1, family="yes_no")


_FRAMES = {
    "money": ("{r}多少钱", "{r}的{c}是多少", "{r}要多少钱", "{r}怎么收费", "{r}贵吗"),
    "time": ("{r}的{c}是什么时候", "{r}是什么时候", "{r}什么时候", "{r}几点"),
    "duration": ("{r}的{c}是多久", "{r}要多久", "{r}多长时间"),
    "number": ("{r}的{c}是多少", "{r}{c}多少"),
    "remedy": ("{r}怎么办", "{r}怎么处理", "{r}该怎么做", "出现{r}怎么办", "遇到{r}要做什么"),
    "meaning": ("{r}是什么意思", "{r}表示什么", "{r}说明什么", "为什么会{r}", "{r}是怎么回事"),
}
_COLUMNS = (
    ("floor", ("floor",), "楼层|位置|地点|地址|房间|房号"),
    ("money", ("money",), "价|费|金额|票"),
    ("time", ("clock", "weekday", "date"), "时间|日期"),
    ("duration", ("duration",), "时长|期限"),
    ("remedy", (), "怎么办|处理|解决|措施|做法|办法"),
    ("meaning", (), "含义|意思|说明|原因"),
)


def _kind(column: str, value: str) -> str:
    """What a cell holds, by its value first and its column's name second."""
    kinds = {span.kind for span in typed_spans("在" + value)}
    for kind, spans, names in _COLUMNS:
        if kinds & set(spans) or re.search(names, column):
            return kind
    return "number" if re.search(r"\d", value) else ""


def _person(row: str, column: str, value: str, short: tuple[int, int] | None) -> Iterator[Ask]:
    for question in (
        f"{row}的{column}是谁",
        f"{row}的{column}叫什么名字",
        f"谁是{row}的{column}",
        f"{row}{column}是哪位",
        f"{row}的{column}叫什么",
        f"{row}由谁负责",
        f"{row}的负责人是谁",
    ):
        yield Ask(question, "who", short=short, weight=4)
    for question in (
        f"{value}是谁",
        f"{value}是哪个科的" if row.endswith("科") else f"{value}负责哪里",
        f"{value}在哪个部门",
        f"{value}是做什么的",
        f"想找{value}，去哪里",
    ):
        yield Ask(question, "table_reverse", weight=2)


def _where(row: str, column: str, value: str, short: tuple[int, int] | None) -> Iterator[Ask]:
    floor = value.endswith(("楼", "层"))
    questions = [
        f"{row}在哪里",
        f"{row}在哪",
        f"{row}怎么走",
        f"去{row}怎么走",
        f"{row}在什么地方",
        f"我要去{row}，在哪里",
    ]
    if floor:
        questions += [
            f"{row}在几楼",
            f"{row}在哪一层",
            f"{row}在哪层楼",
            f"去{row}上几楼",
            f"{row}是几楼",
            f"看{row}去几楼",
            f"{row}在几层",
        ]
    for question in questions:
        yield Ask(question, "where", short=short, weight=4)
    for question in (f"{value}是什么", f"{value}有什么", f"{value}是哪里"):
        yield Ask(question, "table_reverse", weight=2)
    if row.endswith("科"):
        yield Ask(f"{value}是什么科", "table_reverse", weight=2)
        yield Ask(f"哪个科在{value}", "table_reverse", weight=2)

"""Chinese clauses and the questions made by putting a question word in the place of a span."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from labtune.generation.chinese.modals import modal_asks
from labtune.generation.chinese.spans import TypedSpan, typed_spans
from labtune.generation.lexicon import word_set
from labtune.generation.rows import Ask

_TOPIC_END = re.compile(
    r"是|在(?!线)|要(?!求)|可以|能(?!力|量|源)|不|必须|应当|应该|应|需要|需|成立|建于|创立|创办|始建|现有|共有|拥有|会(?!员|议)|有(?!效)|由|把|用(?!品|户)|分为|包括|位于|属于|最多|至少|每|已|正在|将|为(?!了)|"
    r"提前|上午|下午|早上|晚上|中午|\d|[一二两三四五六七八九十](?=[个天年元点楼次位名本种])|只有|都|也|自动|，|：|报销|收费|保存|休息|开始|停止|关闭|关门|开门|从|到|被|拆除|安排|有效"
)
_CONDITION = re.compile(
    r"^((?:如果|若|要是|当)?[^，。]{2,14}?(?:时候|以前|以后|之前|之后|时|前|后|以内|期间|的人|的患者))(?=[，]?(?:要|应|需|必须|不|可|请|能|先|得|禁|最|会|在|多))"
)
_OBJECT_VERBS = sorted(word_set("zh_words", "object_verbs"), key=lambda word: (-len(word), word))
_PERSON = re.compile(r"医生|主任|院长|所长|校长|经理|负责人|老师|作者|馆长|店长|教授|先生|女士|创始人|发明人")
_SUBORDINATE = re.compile("因为|由于|如果|若|要是|一旦|当.{2,12}时|虽然|尽管")
_LEAD = re.compile("^(?:所以|因此|因而|于是|但是|但|而且|并且|同时|此外|另外|然而|不过)")
_PRONOUN = re.compile(r"^(它们|他们|她们|它|他|她|该\w{1,3}|其)")


@dataclass(frozen=True, slots=True)
class Clause:
    """One clause of a sentence with its place in the sentence. `topic` may come from an earlier clause."""

    text: str
    start: int
    topic: str
    whole: bool


def clauses(sentence: str, subject: str) -> list[Clause]:
    """Cut at commas; a clause without a topic of its own takes the first clause's.

    Args:
        sentence: with its full stop.
        subject: what a leading pronoun stands for; empty when nothing resolves it.
    """
    body = sentence.rstrip("。！？!?.；; ")
    parts: list[tuple[str, int]] = []
    for match in re.finditer(r"[^，；,;]+", body):
        text = match.group().strip()
        if len(text) >= 4:
            parts.append((text, match.start() + len(match.group()) - len(match.group().lstrip())))
    first_topic = ""
    result: list[Clause] = []
    for number, (text, start) in enumerate(parts):
        found = topic_of(text)
        pronoun = _PRONOUN.match(text)
        if pronoun and subject:
            found = subject
        if number == 0:
            first_topic = found
        result.append(Clause(text, start, found or first_topic, len(parts) == 1))
    return result


def topic_of(text: str) -> str:
    """The words before the predicate: `药房在一楼` -> `药房`."""
    condition = _CONDITION.match(text)
    match = _TOPIC_END.search(text)
    topic = text[: match.start()] if match else ""
    if condition and len(condition.group(1)) > len(topic):
        return condition.group(1) if condition.group(1).endswith(("人", "患者")) else ""
    topic = topic.rstrip("的地得和与")
    return topic if 1 < len(topic) <= 14 and not _PRONOUN.match(topic) else ""


def clause_asks(clause: Clause, offset: int, subject: str) -> Iterator[Ask]:
    """Questions on one clause. `offset` is the sentence's place in the document."""
    base, shift = standalone(clause, subject)
    if not base:
        return
    for span in typed_spans(base):
        yield from _span_asks(base, span, offset + clause.start - shift, shift)
    yield from _definition(base, clause, offset, shift)
    yield from modal_asks(base)
    yield from _object_asks(base, offset + clause.start - shift, shift)
    yield from _agent_asks(base, offset + clause.start - shift, shift)
    if len(base) <= 30 and not base.startswith("请"):
        yield Ask(
            f"{base}吗",
            "yes_no",
            polarity="yes" if not _negative(base) else "right",
            weight=1,
            family="yes_no",
        )
        yield Ask(
            f"是不是{base}",
            "yes_no",
            polarity="right" if _negative(base) else "yes",
            weight=1,
            family="yes_no",
        )


def _negative(text: str) -> bool:
    return bool(re.search("不|没有|禁止|无法", text))


def standalone(clause: Clause, subject: str) -> tuple[str, int]:
    """The clause with its topic in front where it has none, and how many characters that adds.

    A subordinate clause cannot stand alone: it gives an empty text.
    """
    if _SUBORDINATE.match(clause.text):
        return "", 0
    base, shift = _with_topic(clause, subject)
    lead = _LEAD.match(base)
    return (base[lead.end() :], shift - lead.end()) if lead else (base, shift)


def _with_topic(clause: Clause, subject: str) -> tuple[str, int]:
    pronoun = _PRONOUN.match(clause.text)
    if pronoun and subject:
        rest = clause.text[pronoun.end() :]
        joint = "的" if pronoun.group() == "其" and not rest.startswith("的") else ""
        text = subject + joint + rest
        return text, len(text) - len(clause.text)
    if (
        clause.topic
        and not clause.text.startswith(clause.topic)
        and not topic_of(clause.text)
        and not _CONDITION.match(clause.text)
    ):
        return clause.topic + clause.text, len(clause.topic)
    return clause.text, 0


def _span_asks(base: str, span: TypedSpan, origin: int, shift: int) -> Iterator[Ask]:
    if len(base) > 44 or span.start < shift:
        return
    short = (origin + span.start, origin + span.end)
    form = {
        "money": "how_much",
        "duration": "how_long",
        "clock": "when",
        "date": "when",
        "weekday": "when",
        "always": "when",
        "floor": "where",
        "place": "where",
        "percent": "how_much",
        "count": "how_many",
        "ordinal": "when",
    }.get(span.kind, "how_much")
    for word in span.asks:
        yield Ask(base[: span.start] + word + base[span.end :], form, short=short, weight=4)
    before = base[: span.start].rstrip("约")
    if span.kind == "money" and (
        owner := re.match(
            r"(.{2,14}?)(?:的?(?:费用?|价格|押金)?是|要交?|收费?|每[^天日]{1,2}(?=[\\d]))", base
        )
    ):
        name = owner.group(1)
        for tail in ("要多少钱", "多少钱", "怎么收费", "贵不贵"):
            yield Ask(f"{name}{tail}", "how_much", short=short, weight=2)
    if (
        span.kind in ("floor", "place")
        and before.endswith("在")
        and 1 < len(before[:-1]) <= 14
        and span.end == len(base)
    ):
        name = before[:-1]
        for text in (
            f"{name}在哪",
            f"去{name}怎么走",
            f"{name}怎么走",
            f"{name}的位置在哪里",
            f"怎么找到{name}",
            f"{name}在什么位置",
        ):
            yield Ask(text, "where", short=short, weight=2)
        if span.kind == "floor":
            yield Ask(f"去{name}要到几楼", "where", short=short, weight=2)
    frequency = re.search(
        r"每(?:隔)?(?:个)?(?:[一二两三四五六七八九十\d]+)?(?:个)?(?:天|周|星期|月|年|小时)", base
    )
    if span.kind == "count" and span.asks and base[span.start : span.end].endswith("次") and frequency:
        yield Ask(
            base[: frequency.start()] + "多久" + base[frequency.end() :],
            "how_often",
            weight=4,
            short=(origin + frequency.start(), origin + frequency.end()),
        )


def frequency_asks(base: str, origin: int) -> Iterator[Ask]:
    """`每个月要复诊一次` -> `多久要复诊一次`."""
    match = re.search(
        r"每(?:隔)?(?:个)?(?:[一二两三四五六七八九十\d]+)?(?:个)?(?:天|周|星期|月|年|小时)(?=.{0,8}[一二两三四五六]次)",
        base,
    )
    if match is None:
        return
    short = (origin + match.start(), origin + match.end())
    yield Ask(base[: match.start()] + "多久" + base[match.end() :], "how_often", short=short, weight=5)
    yield Ask(base[: match.start()] + "隔多长时间" + base[match.end() :], "how_often", short=short, weight=3)


def _definition(base: str, clause: Clause, offset: int, shift: int) -> Iterator[Ask]:
    match = re.match(r"([^是，]{1,16}?)(?:的全称|的意思|指的)?(是|叫做|称为|名叫)(?!不是|否)(.{1,40})$", base)
    if (
        match is None
        or base.startswith(("但", "可", "于", "还"))
        or match.group(1).endswith(("不", "就", "也", "都", "只"))
    ):
        return
    left, value = match.group(1), match.group(3)
    start = offset + clause.start - shift + match.start(3)
    short = (start, start + len(value)) if match.start(3) >= shift else None
    if re.search(r"\d|^[一二两三四五六七八九十]", value) and not value.startswith(
        ("一种", "一家", "一个", "一座", "一位", "一所", "一名", "一条", "一部", "一项", "一本")
    ):
        word = "什么" if re.search("密码|名字|名称", left) else "多少"
        if not typed_spans(base[:0] + value):
            yield Ask(f"{left}是{word}", "value", short=short, weight=5)
            yield Ask(f"{left}是什么", "value", short=short, weight=4)
        return
    if _PERSON.search(left + value):
        for text in (
            f"{left}是谁",
            f"谁是{left}",
            f"{left}叫什么名字",
            f"{left}是哪位",
            f"{left}叫什么",
            f"{left}是哪一位",
        ):
            yield Ask(text, "who", short=short, weight=3)
        return
    if re.search("地址|位置|地点", left):
        owner = re.sub("的?(?:地址|位置|地点)$", "", left)
        for text in (
            f"{left}是什么",
            f"{left}是哪里",
            f"{left}在哪里",
            f"{owner or '这里'}在哪里",
            f"{owner or '这里'}怎么走",
        ):
            yield Ask(text, "where", short=short, weight=3)
        return
    if len(left) < 2:
        return
    for text in (f"{left}是什么", f"什么是{left}", f"{left}是怎样的"):
        yield Ask(text, "definition", short=short, weight=3)
    yield Ask(f"{left}指的是什么", "definition", short=short, weight=1)


def _object_asks(base: str, origin: int, shift: int) -> Iterator[Ask]:
    for verb in _OBJECT_VERBS:
        match = re.search(
            rf"(?<=[要须以能请会先应需，时前后]){verb}(?![进出走到回去来上入])([^，。要不可能]{{2,14}})$",
            base,
        )
        if (
            match is None
            or match.start() < shift
            or typed_spans(match.group(1))
            or "不" in base[: match.start()]
        ):
            continue
        short = (origin + match.start(1), origin + match.end(1))
        head = base[: match.start()]
        yield Ask(f"{head}{verb}什么", "what", short=short, weight=5)
        yield Ask(f"{head}{verb}什么东西", "what", short=short, weight=2)
        yield Ask(f"{head}{verb}些什么", "what", short=short, weight=3)
        return


def _agent_asks(base: str, origin: int, shift: int) -> Iterator[Ask]:
    match = re.search(
        r"由([^，。由]{2,10}?)(自己承担|承担|保管|负责|提供|支付|组成|创办|发明|设计|管理|主持|决定|发现|创立|编写|制作|建造)",
        base,
    )
    if match is None or match.start() < shift:
        return
    short = (origin + match.start(1), origin + match.end(1))
    head, rest = base[: match.start()], base[match.end(1) :]
    ends = match.end() == len(base)
    who = "什么" if match.group(2) == "组成" else "谁"
    yield Ask(f"{head}由{who}{rest}", "who", short=short, weight=4)
    if who == "谁" and ends:
        yield Ask(f"谁{match.group(2)}{head}", "who", short=short, weight=3)
        yield Ask(f"{head}是谁{match.group(2)}的", "who", short=short, weight=3)


_CAUSE = re.compile(r"(因为|由于|是因为)")


def cause_asks(parts: list[Clause], subject: str) -> Iterator[Ask]:
    """`因为A，所以B` and `如果A，B`."""
    for number, clause in enumerate(parts):
        rest = [part for place, part in enumerate(parts) if place != number]
        if _CAUSE.match(clause.text) and rest:
            effect = re.sub("^(?:所以|因此|因而|于是)", "", rest[-1].text)
            yield Ask(f"为什么{effect}", "why", weight=5)
            yield Ask(f"{effect}，这是为什么", "why", weight=3)
            yield Ask(f"{effect}的原因是什么", "why", weight=3)
        condition = re.match("(?:如果|若|要是|一旦|当)(.{2,18}?)(?:的话|时|时候)?$", clause.text)
        if condition and rest:
            case = condition.group(1)
            for tail in ("怎么办", "该怎么办", "会怎么样", "要做什么", "应该怎么做"):
                yield Ask(f"{case}{tail}", "condition", weight=4)
            yield Ask(f"如果{case}，该怎么办", "condition", weight=4)

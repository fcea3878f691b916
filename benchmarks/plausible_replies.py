"""What the simulated teacher says: fields filled by name, type and enum, with the document's sentences.

A reply is a function of the request alone. It is not meant to be clever, only to be of the right form, in
the prompt's language and grounded in the text that the prompt holds, so that a generation gives a data set.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

TAGGED = re.compile(r"<([a-z]+)(?:_\d+)?\b[^>]*>\s*(.*?)\s*</\1(?:_\d+)?>", re.S | re.I)
DOCUMENTS = frozenset({"document", "passage", "text", "source", "chunk", "excerpt"})
FENCED = re.compile(r"(?:```\w*|\"\"\"|~~~)\n(.*?)\n\s*(?:```|\"\"\"|~~~)", re.S)
SENTENCE = re.compile(r"[^.!?。！？\n]+(?:[.!?](?=\s|$)|[。！？])+")
CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
COUNT = re.compile(
    r"\b(\d{1,2})\s+(?:[\w-]+\s+){0,4}?"
    r"(?:questions?|pairs?|facts?|instructions?|items?|examples?|contexts?|tasks?|entries|requests?|texts?)\b"
    r"|(\d{1,2})\s*[个條条道对對组組段]"
)
SCALE = re.compile(r"\b(\d)\s*(?:-|to|–|through|至|到)\s*(\d{1,2})\b")
KEY = re.compile(r'"(\w+)"\s*:')
GOOD = (
    "yes",
    "pass",
    "keep",
    "ok",
    "good",
    "true",
    "supported",
    "faithful",
    "relevant",
    "approve",
    "full",
    "是",
)
BAD = (
    "no",
    "fail",
    "drop",
    "bad",
    "false",
    "unsupported",
    "unfaithful",
    "irrelevant",
    "reject",
    "none",
    "否",
)

QUESTION_NAMES = ("question", "instruction", "query", "prompt", "task", "input", "问题", "指令")
REASON_NAMES = ("reason", "explanation", "rationale", "why", "comment", "critique", "analysis", "feedback")
TOPIC_NAMES = ("title", "topic", "keyword", "subject", "name", "entity")
LONG_NAMES = ("summary", "context", "passage", "document", "view", "text", "content", "essay")

VERBS = (
    "Describe",
    "Explain",
    "Compare",
    "Summarise",
    "Criticise",
    "Rewrite",
    "Plan",
    "List",
    "Draft",
    "Outline",
)
TOPICS = (
    "a night train", "a village bakery", "the care of roses", "a school timetable", "a broken kettle",
    "the tides of a harbour", "a chess opening", "an old bridge", "a weekly budget", "a library",
    "a bee hive in spring", "a mountain hut", "a letter of complaint", "a bicycle repair", "a clock museum",
    "the first day at work", "a garden pond", "a family recipe", "a lost umbrella", "a choir rehearsal",
)  # fmt: skip
MANNERS = (
    "for a child of ten", "in three short steps", "as a polite letter", "with one example", "for a manager",
    "in plain words", "with its risks", "as a checklist", "for a newcomer", "without technical terms",
)  # fmt: skip
VERBS_ZH = ("介绍", "解释", "比较", "概括", "评价", "改写", "规划", "列出", "起草", "说明")
TOPICS_ZH = (
    "夜班火车", "村里的面包房", "月季的养护", "学校课表", "漏水的水壶", "港口的潮汐", "一座老桥", "每周预算",
    "图书馆规则", "春天的蜂箱", "山间小屋", "投诉信", "修自行车", "钟表博物馆", "第一天上班", "花园池塘",
)  # fmt: skip
MANNERS_ZH = ("讲给十岁孩子听", "分三步说清", "写成一封礼貌的信", "并举一个例子", "用大白话", "写成清单")
ASK = (
    "What does the text say about {}?", "What should one know about {}?", "How is {} described?",
    "Which statement is made about {}?", "What is told of {}?",
)  # fmt: skip
ASK_ZH = (
    "关于“{}”，文中是怎么说的？",
    "文中如何描述“{}”？",
    "“{}”是怎么一回事？",
    "对于“{}”，需要了解什么？",
)
FOREIGN = "Je ne suis pas sûr de comprendre la demande, mais voici quand même une réponse écrite en français."
FOREIGN_OF_ENGLISH_DOCUMENTS = "这是一个用错误语言写成的回答，与原文无关，因为老师忘记了要求。"


@dataclass(frozen=True, slots=True)
class Wording:
    """Everything a reply draws from: the language, the document's sentences and the seeded draw."""

    draw: random.Random
    chinese: bool
    sentences: tuple[str, ...]
    prompt: str
    approve: bool
    foreign: bool = False
    topic: str | None = None
    """The invented sentence that an object without a document speaks of."""
    used: list[int] = field(default_factory=list)

    def next_sentence(self) -> str:
        """A sentence of the document, unused in this reply if possible; without a document, an invention."""
        if not self.sentences:
            return self.invented()
        fresh = [place for place in range(len(self.sentences)) if place not in self.used]
        place = self.draw.choice(fresh or range(len(self.sentences)))
        self.used.append(place)
        return self.sentences[place]

    def invented(self) -> str:
        """An instruction out of thin air, for skills that have no document."""
        if self.chinese:
            parts = (VERBS_ZH, TOPICS_ZH, MANNERS_ZH)
            verb, topic, manner = (self.draw.choice(part) for part in parts)
            return f"{verb}{topic}，{manner}。"
        verb, topic, manner = (self.draw.choice(part) for part in (VERBS, TOPICS, MANNERS))
        return f"{verb} {topic} {manner}."


def reply_text(
    messages: Sequence[Mapping[str, Any]],
    schema: Mapping[str, Any] | None,
    seed: str,
    *,
    approve_share: float = 0.95,
    foreign: bool = False,
) -> str:
    """What answers `messages`: JSON when `schema` is given or the prompt asks for it, else plain text.

    Args:
        seed: decides all draws; a digest of the request.
        approve_share: how often a judge says yes.
        foreign: answer in a language that is not the prompt's.
    """
    prompt = "\n\n".join(_content(message) for message in messages)
    draw = random.Random(seed)
    document = find_document(prompt)
    wording = Wording(
        draw,
        is_chinese(document or prompt),
        sentences_of(document),
        prompt,
        draw.random() < approve_share,
        foreign,
    )
    shape = schema if schema is not None else schema_in(prompt)
    if shape is None:
        return _plain(wording)
    return json.dumps(fill(shape, "", wording, shape.get("$defs", {})), ensure_ascii=False)


def _content(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text", "") for part in content if isinstance(part, dict))


@lru_cache(maxsize=4096)
def find_document(prompt: str) -> str:
    """The longest text block of the prompt: tagged, fenced or paragraphs; "" when all are short."""
    tagged = [(match[0].lower(), match[1]) for match in TAGGED.findall(prompt)]
    documents = [text for tag, text in tagged if tag in DOCUMENTS]
    documents = documents or [text for tag, text in tagged if tag == "context"][-1:]
    if tagged and not documents:
        return ""
    documents = documents or [text for text in FENCED.findall(prompt) if text.lstrip()[:1] not in "{["]
    if documents:
        return str(max(documents, key=len))
    best = current = ""
    for paragraph in [*re.split(r"\n\s*\n", prompt), ""]:
        if len(paragraph) >= (30 if is_chinese(paragraph) else 100) and not paragraph.lstrip().startswith(
            ("{", "[")
        ):
            current = f"{current}\n\n{paragraph}" if current else paragraph
            continue
        best, current = max(best, current, key=len), ""
    return best


@lru_cache(maxsize=4096)
def sentences_of(document: str) -> tuple[str, ...]:
    """Sentences that can be quoted, in the document's order."""
    found = [" ".join(match.split()) for match in SENTENCE.findall(document)]
    chinese = is_chinese(document)
    return tuple(text for text in found if 8 <= len(text) <= 500 and (chinese or " " in text))


def is_chinese(text: str) -> bool:
    """True when a fifth of the characters are CJK."""
    sample = text[:2000]
    return bool(sample) and len(CJK.findall(sample)) > 0.2 * len(sample)


def schema_in(prompt: str) -> dict[str, Any] | None:
    """The JSON schema that a prompt writes out, or one guessed from the example object it shows."""
    decoder = json.JSONDecoder()
    guessed: dict[str, Any] | None = None
    for match in re.finditer(r"[{\[]", prompt):
        try:
            value, _ = decoder.raw_decode(prompt, match.start())
        except ValueError:
            continue
        if isinstance(value, dict) and ("properties" in value or "$ref" in value):
            return value
        example = value[0] if isinstance(value, list) and value else value
        if isinstance(example, dict) and example and guessed is None:
            guessed = _schema_of_example(value)
    if guessed is None and "json" in prompt.lower():
        names = list(dict.fromkeys(KEY.findall(prompt))) or re.findall(r"`(\w+)`", prompt)
        if names:
            return {"type": "object", "properties": {name: {"type": "string"} for name in names}}
    return guessed if "json" in prompt.lower() else None


def _schema_of_example(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return {
            "type": "object",
            "properties": {key: _schema_of_example(item) for key, item in value.items()},
        }
    if isinstance(value, list):
        return {"type": "array", "items": _schema_of_example(value[0] if value else "")}
    kinds = {bool: "boolean", int: "integer", float: "number"}
    return {"type": kinds.get(type(value), "string")}


def fill(schema: Mapping[str, Any], name: str, wording: Wording, definitions: Mapping[str, Any]) -> Any:
    """A value that follows `schema`; `name` is the field's, which says what belongs in it."""
    schema = _resolve(schema, definitions)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return _choose(schema["enum"], wording.approve)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = next((one for one in kind if one != "null"), "null") if isinstance(kind, list) else kind
    if kind == "object":
        return _object(schema, wording, definitions)
    if kind == "array":
        return [
            fill(schema.get("items", {}), name, wording, definitions) for _ in range(_length(schema, wording))
        ]
    if kind == "boolean":
        return wording.approve
    if kind in ("integer", "number"):
        return _score(schema, wording)
    return None if kind == "null" else _bounded(_string(name, wording), schema)


def _resolve(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    while True:
        if "$ref" in schema:
            schema = definitions.get(str(schema["$ref"]).rsplit("/", 1)[-1], {})
        elif "anyOf" in schema or "oneOf" in schema:
            options = schema.get("anyOf") or schema["oneOf"]
            schema = next((option for option in options if option.get("type") != "null"), options[0])
        else:
            return schema


def _object(schema: Mapping[str, Any], wording: Wording, definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of one object speak of one sentence, so that an answer fits its question."""
    parts = {key: _resolve(part, definitions) for key, part in schema.get("properties", {}).items()}
    leaves = {key for key, part in parts.items() if part.get("type") not in ("array", "object")}
    sentence = wording.next_sentence() if leaves else ""
    about = replace(wording, sentences=(sentence,), topic=None if wording.sentences else sentence, used=[])
    return {
        key: fill(part, key, about if key in leaves else wording, definitions) for key, part in parts.items()
    }


def _choose(values: Sequence[Any], approve: bool) -> Any:
    words = GOOD if approve else BAD
    plain = [str(value).lower() for value in values]
    for word in words:
        for text, value in zip(plain, values, strict=True):
            if text == word or text.startswith((f"{word}_", f"{word} ")):
                return value
    numbers = [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
    if len(numbers) == len(values):
        return max(numbers) if approve else min(numbers)
    return values[0] if approve else values[-1]


def _length(schema: Mapping[str, Any], wording: Wording) -> int:
    asked = [int(one or other) for one, other in COUNT.findall(wording.prompt)]
    wanted = next((count for count in asked if 1 <= count <= 50), 3)
    return max(int(schema.get("minItems", 0)), min(int(schema.get("maxItems", 50)), wanted))


def _score(schema: Mapping[str, Any], wording: Wording) -> int:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is None or high is None:
        scale = SCALE.search(wording.prompt)
        low, high = (int(scale[1]), int(scale[2])) if scale else (0, 1)
    return int(high if wording.approve else low)


def _bounded(text: str, schema: Mapping[str, Any]) -> str:
    return text[: int(schema.get("maxLength", len(text)))]


def _string(name: str, wording: Wording) -> str:
    lower = name.lower()
    if wording.foreign:
        return FOREIGN if wording.chinese else FOREIGN_OF_ENGLISH_DOCUMENTS
    if any(word in lower for word in REASON_NAMES):
        return _reason(wording)
    sentence = wording.next_sentence()
    if any(word in lower for word in QUESTION_NAMES):
        return _question(sentence, wording)
    if sentence == wording.topic:
        return _invented_answer(wording)
    if any(word in lower for word in TOPIC_NAMES):
        return _phrase(sentence, wording)
    if any(word in lower for word in LONG_NAMES):
        extra = wording.next_sentence()
        return sentence if extra == sentence else f"{sentence}{'' if wording.chinese else ' '}{extra}"
    return sentence


def _reason(wording: Wording) -> str:
    if wording.chinese:
        return "原文中写明了这一点。" if wording.approve else "原文并没有这样说。"
    return "The document says so." if wording.approve else "The document does not say this."


def _invented_answer(wording: Wording) -> str:
    numbers = "".join(wording.draw.choice("0123456789") for _ in range(4))
    if wording.chinese:
        return f"可以这样做：先想清楚目的，再动手。{wording.invented()}编号为{numbers}。"
    return f"Begin with the purpose, then go on step by step. {wording.invented()} Its number is {numbers}."


def _question(sentence: str, wording: Wording) -> str:
    if sentence.split(" ")[0] in VERBS or (wording.chinese and sentence.startswith(VERBS_ZH)):
        return sentence
    templates = ASK_ZH if wording.chinese else ASK
    return wording.draw.choice(templates).format(_phrase(sentence, wording))


def _phrase(sentence: str, wording: Wording) -> str:
    if wording.chinese:
        text = re.sub(r"[^\w]", "", sentence)
        start = wording.draw.randrange(max(1, len(text) - 10))
        return text[start : start + 10]
    words = sentence.rstrip(".!?").split()
    start = wording.draw.randrange(max(1, len(words) - 5))
    return " ".join(words[start : start + 6]).strip(",;:\"'()")


def _plain(wording: Wording) -> str:
    if wording.foreign:
        return FOREIGN if wording.chinese else FOREIGN_OF_ENGLISH_DOCUMENTS
    count = min(3, max(1, len(wording.sentences)))
    return ("" if wording.chinese else " ").join(wording.next_sentence() for _ in range(count))

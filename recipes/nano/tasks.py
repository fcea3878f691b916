"""Short instructions, arithmetic, extraction, sentiment."""

from __future__ import annotations

import random
from collections.abc import Callable

from .lexicon import expand, name_en, person, place, table, word_list
from .rows import Row, qa

_WORDS = word_list("en")
_WORDS_ZH = word_list("zh")


def arithmetic(rng: random.Random, language: str) -> Row:
    """Sums, differences and products of small numbers, number order."""
    kind = rng.choice("++--*<")
    if kind == "+":
        a, b = rng.randint(0, 12), rng.randint(0, 12)
        value, sign, word, word_zh = a + b, "+", "plus", "加"
    elif kind == "-":
        a = rng.randint(0, 12)
        b = rng.randint(0, a)
        value, sign, word, word_zh = a - b, "-", "minus", "减"
    elif kind == "*":
        a, b = rng.randint(0, 10), rng.randint(0, 10)
        value, sign, word, word_zh = a * b, "*", "times", "乘"
    else:
        return _compare(rng, language)
    if language == "zh":
        question = rng.choice(
            (
                f"{a}{word_zh}{b}等于多少？",
                f"{a}{sign}{b}=？",
                f"请计算{a}{word_zh}{b}。",
                f"{a}{word_zh}{b}是多少？",
            )
        )
        return qa(question, f"{a}{word_zh}{b}等于{value}。", "arithmetic", "zh", (str(value),))
    question = rng.choice(
        (
            f"What is {a} {word} {b}?",
            f"{a} {sign} {b} = ?",
            f"Calculate {a} {sign} {b}.",
            f"How much is {a} {word} {b}?",
            f"{a} {sign} {b}",
        )
    )
    return qa(question, f"{a} {word} {b} is {value}.", "arithmetic", "en", (str(value),))


def _compare(rng: random.Random, language: str) -> Row:
    a, b = rng.sample(range(100), 2)
    large = rng.random() < 0.5
    value = max(a, b) if large else min(a, b)
    if language == "zh":
        word = "大" if large else "小"
        question = rng.choice((f"{a}和{b}哪个更{word}？", f"哪个数更{word}：{a}还是{b}？"))
        return qa(question, f"{value}更{word}。", "arithmetic", "zh", (f"{value}更{word}",))
    word = "larger" if large else "smaller"
    question = rng.choice(
        (
            f"Which is {word}: {a} or {b}?",
            f"Which number is {word}, {a} or {b}?",
            f"{a} or {b}, which is {word}?",
        )
    )
    return qa(question, f"{value} is {word}.", "arithmetic", "en", (f"{value} is {word}",))


def _repeat(rng: random.Random, language: str) -> Row:
    if language == "zh":
        text = "".join(rng.sample(_WORDS_ZH, rng.choice((1, 2)))) if rng.random() < 0.6 else person(rng, "zh")
        question = rng.choice((f"请重复：{text}", f"跟我说：{text}", f"重复这句话：{text}"))
        return qa(question, text, "instruction", "zh", (text,))
    text = rng.choice((" ".join(rng.sample(_WORDS, rng.randint(1, 4))), name_en(rng), person(rng, "en")))
    question = rng.choice(
        (
            f"Repeat: {text}",
            f"Say this: {text}",
            f"Repeat after me: {text}",
            f"Please repeat the words: {text}",
        )
    )
    return qa(question, text, "instruction", "en", (text,))


def _case(rng: random.Random, language: str) -> Row:
    word = rng.choice(_WORDS)
    if rng.random() < 0.5:
        question = rng.choice(
            (f"Write {word} in capital letters.", f"Put {word} in uppercase.", f"Uppercase: {word}")
        )
        return qa(question, word.upper(), "instruction", "en", (word.upper(),))
    question = rng.choice(
        (
            f"Write {word.upper()} in small letters.",
            f"Put {word.upper()} in lowercase.",
            f"Lowercase: {word.upper()}",
        )
    )
    return qa(question, word, "instruction", "en", (word,))


def _position(rng: random.Random, language: str) -> Row:
    index, size = rng.randint(0, 2), 3 + (rng.random() < 0.5)
    if language == "zh":
        items = rng.sample(_WORDS_ZH, size)
        which = ("第一个", "第二个", "最后一个")[index]
        question = rng.choice(
            (f"{'、'.join(items)}中{which}是什么？", f"下面{which}词是什么：{'、'.join(items)}")
        )
        return qa(
            question,
            f"{which}是{items[(0, 1, -1)[index]]}。",
            "instruction",
            "zh",
            (items[(0, 1, -1)[index]],),
        )
    items = rng.sample(_WORDS, size)
    which = ("first", "second", "last")[index]
    listed = ", ".join(items)
    question = rng.choice(
        (
            f"What is the {which} word of this list: {listed}",
            f"{listed}. Which one is {which}?",
            f"Tell me the {which} item: {listed}",
        )
    )
    return qa(
        question,
        f"The {which} one is {items[(0, 1, -1)[index]]}.",
        "instruction",
        "en",
        (items[(0, 1, -1)[index]],),
    )


def _join(rng: random.Random, language: str) -> Row:
    if language == "zh":
        a, b = rng.sample(_WORDS_ZH, 2)
        return qa(
            rng.choice((f"用“和”连接：{a}，{b}", f"把{a}与{b}用“和”连起来。")),
            f"{a}和{b}",
            "instruction",
            "zh",
            (f"{a}和{b}",),
        )
    a, b = rng.sample(_WORDS, 2)
    question = rng.choice((f"Join with and: {a}, {b}", f"Put and between these words: {a}, {b}"))
    return qa(question, f"{a} and {b}", "instruction", "en", (f"{a} and {b}",))


def _count(rng: random.Random, language: str) -> Row:
    size = rng.randint(1, 5)
    if language == "zh":
        items = rng.sample(_WORDS_ZH, size)
        return qa(
            rng.choice((f"这里有几个词：{'、'.join(items)}", f"数一数有几个词：{'、'.join(items)}")),
            f"有{size}个词。",
            "instruction",
            "zh",
            (f"{size}个",),
        )
    items = rng.sample(_WORDS, size)
    question = rng.choice(
        (f"How many words are here: {' '.join(items)}", f"Count the words: {' '.join(items)}")
    )
    return qa(
        question,
        f"There {'is 1 word' if size == 1 else f'are {size} words'}.",
        "instruction",
        "en",
        (f"{size} word",) if size == 1 else (f"{size} words",),
    )


def _category(rng: random.Random, language: str) -> Row:
    pools = {
        "animal": [r["en"] for r in table("animals")],
        "country": [r["en"] for r in table("countries")],
        "job": [r["en"] for r in table("professions")],
    }
    names = {"animal": "动物", "country": "国家", "job": "职业"}
    if language == "zh":
        pools = {
            "animal": [r["zh"] for r in table("animals")],
            "country": [r["zh"] for r in table("countries")],
            "job": [r["zh"] for r in table("professions")],
        }
    wanted = rng.choice(sorted(pools))
    items = [(kind, rng.choice(pool)) for kind, pool in pools.items()]
    rng.shuffle(items)
    value = next(item for kind, item in items if kind == wanted)
    if language == "zh":
        listed = "、".join(item for _, item in items)
        return qa(
            rng.choice((f"{listed}中哪个是{names[wanted]}？", f"哪个是{names[wanted]}：{listed}？")),
            f"{value}是{names[wanted]}。",
            "instruction",
            "zh",
            (f"{value}是",),
        )
    listed = ", ".join(item for _, item in items)
    question = rng.choice(
        (
            f"Which of these is a {wanted}: {listed}?",
            f"Find the {wanted}: {listed}",
            f"{listed}: which one is the {wanted}?",
        )
    )
    return qa(question, f"The {wanted} is {value}.", "instruction", "en", (value,))


_GOOD = (
    "The food was great",
    "I love this lamp",
    "What a lovely day",
    "The staff was very kind",
    "It works perfectly",
    "I am so happy with it",
    "Fast delivery and a fair price",
    "The best hotel I know",
    "My new phone is wonderful",
    "Everything went well",
)
_POOR = (
    "The food was awful",
    "I hate this lamp",
    "What a terrible day",
    "The staff was very rude",
    "It broke after a day",
    "I am so angry about it",
    "Slow delivery and a high price",
    "The worst hotel I know",
    "My new phone is useless",
    "Everything went wrong",
)
_GOOD_ZH = (
    "菜很好吃",
    "我喜欢这盏灯",
    "今天真开心",
    "服务员很热情",
    "用起来非常好",
    "送货很快",
    "这是最好的酒店",
    "我很满意",
    "质量很好",
    "一切顺利",
)
_POOR_ZH = (
    "菜很难吃",
    "我讨厌这盏灯",
    "今天真糟糕",
    "服务员很粗鲁",
    "用一天就坏了",
    "送货太慢",
    "这是最差的酒店",
    "我很生气",
    "质量很差",
    "一切都不顺",
)
_TAILS = (
    "",
    " and I will tell my friends",
    ", really",
    ", as always",
    " today",
    " this time",
    ", I must say",
)


def _sentiment(rng: random.Random, language: str) -> Row:
    good = rng.random() < 0.5
    if language == "zh":
        text = rng.choice(_GOOD_ZH if good else _POOR_ZH)
        mood = "正面" if good else "负面"
        question = rng.choice(
            (f"这句话是正面还是负面：{text}", f"判断情感：{text}", f"“{text}”是正面还是负面评价？")
        )
        return qa(question, f"这是{mood}的。", "instruction", "zh", (mood,))
    text = rng.choice(_GOOD if good else _POOR) + rng.choice(_TAILS)
    mood = "positive" if good else "negative"
    question = rng.choice(
        (
            f"Is this positive or negative: {text}.",
            f"Classify the mood: {text}.",
            f"{text}. Is that positive or negative?",
        )
    )
    return qa(question, f"This is {mood}.", "instruction", "en", (mood,))


_MESSAGES = (
    "Hello, my name is {n}. My order {o} from {d} has not arrived.",
    "Order {o}: I am {n} and I want to return it. I bought it on {d}.",
    "This is {n} from {p}. On {d} I ordered a lamp, number {o}.",
    "Dear team, on {d} I got order {o}, but it is broken. Best wishes, {n}, {p}",
    "{n} here. Please cancel {o}, I placed it on {d}.",
)
_MESSAGES_ZH = (
    "你好，我叫{n}，{d}下的订单{o}还没有到。",
    "我是{n}，想退掉{d}买的东西，订单号{o}。",
    "订单{o}有问题，{d}收到时已经坏了。联系人：{n}",
    "请取消订单{o}，下单日期{d}，姓名{n}。",
)


def _extract(rng: random.Random, language: str) -> Row:
    zh = language == "zh"
    values = {
        "n": person(rng, language),
        "o": expand(rng, rng.choice(("A#1000-9999", "#10000-99999", "KX-#100-999", "#100-999-#10-99")), "en"),
        "d": expand(
            rng,
            "#2-12月#2-28日"
            if zh
            else rng.choice(("May #1-31", "March #1-31", "July #1-31", "October #1-31", "#2-28 June")),
            "en",
        ),
        "p": place(rng, language),
    }
    text = rng.choice(_MESSAGES_ZH if zh else _MESSAGES).format(**values)
    slot = rng.choice("nod")
    if zh:
        asks: dict[str, tuple[str, ...]] = {
            "n": ("客户叫什么名字？", "谁写的？"),
            "o": ("订单号是多少？", "找出订单号。"),
            "d": ("是哪一天？", "日期是什么？"),
        }
        say = {"n": "客户是{v}。", "o": "订单号是{v}。", "d": "日期是{v}。"}
    else:
        asks = {
            "n": ("What is the name of the customer?", "Who wrote this?", "Extract the name."),
            "o": ("What is the order number?", "Extract the order number.", "Which order is it about?"),
            "d": ("What is the date?", "Extract the date.", "Which day is mentioned?"),
        }
        say = {"n": "The customer is {v}.", "o": "The order number is {v}.", "d": "The date is {v}."}
    question = (
        f"{text}\n\n{rng.choice(asks[slot])}" if rng.random() < 0.8 else f"{rng.choice(asks[slot])}\n\n{text}"
    )
    return qa(question, say[slot].replace("{v}", values[slot]), "instruction", language, (values[slot],))


def _sort(rng: random.Random, language: str) -> Row:
    numbers = rng.sample(range(1, 21), 3)
    ordered = sorted(numbers)
    if language == "zh":
        return qa(
            rng.choice(
                (
                    f"从小到大排列：{numbers[0]}，{numbers[1]}，{numbers[2]}",
                    f"请把{numbers[0]}、{numbers[1]}、{numbers[2]}从小到大排好。",
                )
            ),
            "，".join(map(str, ordered)),
            "instruction",
            "zh",
            ("，".join(map(str, ordered)),),
        )
    listed, answer = ", ".join(map(str, numbers)), ", ".join(map(str, ordered))
    return qa(
        rng.choice(
            (
                f"Sort these numbers: {listed}",
                f"Put in order: {listed}",
                f"Sort from small to large: {listed}",
            )
        ),
        answer,
        "instruction",
        "en",
        (answer,),
    )


_INSTRUCTIONS: tuple[tuple[int, Callable[[random.Random, str], Row]], ...] = (
    (2, _repeat),
    (1, _case),
    (3, _position),
    (1, _join),
    (2, _count),
    (2, _category),
    (2, _sentiment),
    (4, _extract),
    (2, _sort),
)


def instruction(rng: random.Random, language: str) -> Row:
    """One short instruction."""
    weights = [weight for weight, _ in _INSTRUCTIONS]
    return rng.choices([make for _, make in _INSTRUCTIONS], weights)[0](rng, language)

"""Short instructions, arithmetic, small talk, extraction, sentiment."""

from __future__ import annotations

import random
from collections.abc import Callable

from .lexicon import expand, name_en, person, place, table
from .rows import UNKNOWN_MUST, Row, qa, unknown

_WORDS = (
    "apple river stone chair green happy table window yellow garden paper winter silver bread music ocean tiger flower "
    "pencil bridge cloud engine forest guitar hammer island jacket kitchen lemon mirror needle orange pocket queen "
    "rocket spoon train umbrella valley water zebra button candle doctor finger honey letter market number"
).split()
_WORDS_ZH = "苹果 河流 石头 椅子 绿色 高兴 桌子 窗户 黄色 花园 纸张 冬天 银色 面包 音乐 海洋 老虎 花朵 铅笔 大桥 白云 森林 吉他 锤子 小岛 外套 厨房 柠檬 镜子 橙子 火箭 勺子 火车 雨伞 山谷 清水 蜡烛 医生 手指 蜂蜜 信件 市场 数字".split()


def arithmetic(rng: random.Random, language: str) -> Row:
    """Sums, differences and products of small numbers, number order."""
    kind = rng.choice("++--*<")
    if kind == "+":
        a, b = rng.randint(0, 20), rng.randint(0, 20)
        value, sign, word, word_zh = a + b, "+", "plus", "加"
    elif kind == "-":
        a = rng.randint(0, 20)
        b = rng.randint(0, a)
        value, sign, word, word_zh = a - b, "-", "minus", "减"
    elif kind == "*":
        a, b = rng.randint(0, 10), rng.randint(0, 10)
        value, sign, word, word_zh = a * b, "*", "times", "乘"
    else:
        return _compare(rng, language)
    if language == "zh":
        question = rng.choice((f"{a}{word_zh}{b}等于多少？", f"{a}{sign}{b}=？", f"请计算{a}{word_zh}{b}。", f"{a}{word_zh}{b}是多少？"))
        return qa(question, f"{a}{word_zh}{b}等于{value}。", "arithmetic", "zh", (str(value),))
    question = rng.choice(
        (f"What is {a} {word} {b}?", f"{a} {sign} {b} = ?", f"Calculate {a} {sign} {b}.", f"How much is {a} {word} {b}?", f"{a} {sign} {b}")
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
    question = rng.choice((f"Which is {word}: {a} or {b}?", f"Which number is {word}, {a} or {b}?", f"{a} or {b}, which is {word}?"))
    return qa(question, f"{value} is {word}.", "arithmetic", "en", (f"{value} is {word}",))


def _repeat(rng: random.Random, language: str) -> Row:
    if language == "zh":
        text = "".join(rng.sample(_WORDS_ZH, rng.choice((1, 2)))) if rng.random() < 0.6 else person(rng, "zh")
        question = rng.choice((f"请重复：{text}", f"跟我说：{text}", f"重复这句话：{text}"))
        return qa(question, text, "instruction", "zh", (text,))
    text = rng.choice((" ".join(rng.sample(_WORDS, rng.randint(1, 4))), name_en(rng), person(rng, "en")))
    question = rng.choice((f"Repeat: {text}", f"Say this: {text}", f"Repeat after me: {text}", f"Please repeat the words: {text}"))
    return qa(question, text, "instruction", "en", (text,))


def _case(rng: random.Random, language: str) -> Row:
    word = rng.choice(_WORDS)
    if rng.random() < 0.5:
        question = rng.choice((f"Write {word} in capital letters.", f"Put {word} in uppercase.", f"Uppercase: {word}"))
        return qa(question, word.upper(), "instruction", "en", (word.upper(),))
    question = rng.choice((f"Write {word.upper()} in small letters.", f"Put {word.upper()} in lowercase.", f"Lowercase: {word.upper()}"))
    return qa(question, word, "instruction", "en", (word,))


def _position(rng: random.Random, language: str) -> Row:
    index, size = rng.randint(0, 2), 3 + (rng.random() < 0.5)
    if language == "zh":
        items = rng.sample(_WORDS_ZH, size)
        which = ("第一个", "第二个", "最后一个")[index]
        question = rng.choice((f"{'、'.join(items)}中{which}是什么？", f"下面{which}词是什么：{'、'.join(items)}"))
        return qa(question, f"{which}是{items[(0, 1, -1)[index]]}。", "instruction", "zh", (items[(0, 1, -1)[index]],))
    items = rng.sample(_WORDS, size)
    which = ("first", "second", "last")[index]
    listed = ", ".join(items)
    question = rng.choice((f"What is the {which} word of this list: {listed}", f"{listed}. Which one is {which}?", f"Tell me the {which} item: {listed}"))
    return qa(question, f"The {which} one is {items[(0, 1, -1)[index]]}.", "instruction", "en", (items[(0, 1, -1)[index]],))


def _join(rng: random.Random, language: str) -> Row:
    if language == "zh":
        a, b = rng.sample(_WORDS_ZH, 2)
        return qa(rng.choice((f"用“和”连接：{a}，{b}", f"把{a}与{b}用“和”连起来。")), f"{a}和{b}", "instruction", "zh", (f"{a}和{b}",))
    a, b = rng.sample(_WORDS, 2)
    question = rng.choice((f"Join with and: {a}, {b}", f"Put and between these words: {a}, {b}"))
    return qa(question, f"{a} and {b}", "instruction", "en", (f"{a} and {b}",))


def _count(rng: random.Random, language: str) -> Row:
    size = rng.randint(1, 5)
    if language == "zh":
        items = rng.sample(_WORDS_ZH, size)
        return qa(rng.choice((f"这里有几个词：{'、'.join(items)}", f"数一数有几个词：{'、'.join(items)}")), f"有{size}个词。", "instruction", "zh", (f"{size}个",))
    items = rng.sample(_WORDS, size)
    question = rng.choice((f"How many words are here: {' '.join(items)}", f"Count the words: {' '.join(items)}"))
    return qa(question, f"There {'is 1 word' if size == 1 else f'are {size} words'}.", "instruction", "en", (f"{size} word",) if size == 1 else (f"{size} words",))


def _category(rng: random.Random, language: str) -> Row:
    pools = {"animal": [r["en"] for r in table("animals")], "country": [r["en"] for r in table("countries")], "job": [r["en"] for r in table("professions")]}
    names = {"animal": "动物", "country": "国家", "job": "职业"}
    if language == "zh":
        pools = {"animal": [r["zh"] for r in table("animals")], "country": [r["zh"] for r in table("countries")], "job": [r["zh"] for r in table("professions")]}
    wanted = rng.choice(sorted(pools))
    items = [(kind, rng.choice(pool)) for kind, pool in pools.items()]
    rng.shuffle(items)
    value = next(item for kind, item in items if kind == wanted)
    if language == "zh":
        listed = "、".join(item for _, item in items)
        return qa(rng.choice((f"{listed}中哪个是{names[wanted]}？", f"哪个是{names[wanted]}：{listed}？")), f"{value}是{names[wanted]}。", "instruction", "zh", (f"{value}是",))
    listed = ", ".join(item for _, item in items)
    question = rng.choice((f"Which of these is a {wanted}: {listed}?", f"Find the {wanted}: {listed}", f"{listed}: which one is the {wanted}?"))
    return qa(question, f"The {wanted} is {value}.", "instruction", "en", (value,))


_GOOD = ("The food was great", "I love this lamp", "What a lovely day", "The staff was very kind", "It works perfectly", "I am so happy with it", "Fast delivery and a fair price", "The best hotel I know", "My new phone is wonderful", "Everything went well")  # fmt: skip
_POOR = ("The food was awful", "I hate this lamp", "What a terrible day", "The staff was very rude", "It broke after a day", "I am so angry about it", "Slow delivery and a high price", "The worst hotel I know", "My new phone is useless", "Everything went wrong")  # fmt: skip
_GOOD_ZH = ("菜很好吃", "我喜欢这盏灯", "今天真开心", "服务员很热情", "用起来非常好", "送货很快", "这是最好的酒店", "我很满意", "质量很好", "一切顺利")
_POOR_ZH = ("菜很难吃", "我讨厌这盏灯", "今天真糟糕", "服务员很粗鲁", "用一天就坏了", "送货太慢", "这是最差的酒店", "我很生气", "质量很差", "一切都不顺")
_TAILS = ("", " and I will tell my friends", ", really", ", as always", " today", " this time", ", I must say")


def _sentiment(rng: random.Random, language: str) -> Row:
    good = rng.random() < 0.5
    if language == "zh":
        text = rng.choice(_GOOD_ZH if good else _POOR_ZH)
        mood = "正面" if good else "负面"
        question = rng.choice((f"这句话是正面还是负面：{text}", f"判断情感：{text}", f"“{text}”是正面还是负面评价？"))
        return qa(question, f"这是{mood}的。", "instruction", "zh", (mood,))
    text = rng.choice(_GOOD if good else _POOR) + rng.choice(_TAILS)
    mood = "positive" if good else "negative"
    question = rng.choice((f"Is this positive or negative: {text}.", f"Classify the mood: {text}.", f"{text}. Is that positive or negative?"))
    return qa(question, f"This is {mood}.", "instruction", "en", (mood,))


_MESSAGES = (
    "Hello, my name is {n}. My order {o} from {d} has not arrived.",
    "Order {o}: I am {n} and I want to return it. I bought it on {d}.",
    "This is {n} from {p}. On {d} I ordered a lamp, number {o}.",
    "Dear team, on {d} I got order {o}, but it is broken. Best wishes, {n}, {p}",
    "{n} here. Please cancel {o}, I placed it on {d}.",
)  # fmt: skip
_MESSAGES_ZH = ("你好，我叫{n}，{d}下的订单{o}还没有到。", "我是{n}，想退掉{d}买的东西，订单号{o}。", "订单{o}有问题，{d}收到时已经坏了。联系人：{n}", "请取消订单{o}，下单日期{d}，姓名{n}。")  # fmt: skip


def _extract(rng: random.Random, language: str) -> Row:
    zh = language == "zh"
    values = {
        "n": person(rng, language),
        "o": expand(rng, rng.choice(("A#1000-9999", "#10000-99999", "KX-#100-999", "#100-999-#10-99")), "en"),
        "d": expand(rng, "#2-12月#2-28日" if zh else rng.choice(("May #1-31", "March #1-31", "July #1-31", "October #1-31", "#2-28 June")), "en"),
        "p": place(rng, language),
    }
    text = rng.choice(_MESSAGES_ZH if zh else _MESSAGES).format(**values)
    slot = rng.choice("nod")
    if zh:
        asks = {"n": ("客户叫什么名字？", "谁写的？"), "o": ("订单号是多少？", "找出订单号。"), "d": ("是哪一天？", "日期是什么？")}
        say = {"n": "客户是{v}。", "o": "订单号是{v}。", "d": "日期是{v}。"}
    else:
        asks = {"n": ("What is the name of the customer?", "Who wrote this?", "Extract the name."), "o": ("What is the order number?", "Extract the order number.", "Which order is it about?"), "d": ("What is the date?", "Extract the date.", "Which day is mentioned?")}
        say = {"n": "The customer is {v}.", "o": "The order number is {v}.", "d": "The date is {v}."}
    question = f"{text}\n\n{rng.choice(asks[slot])}" if rng.random() < 0.8 else f"{rng.choice(asks[slot])}\n\n{text}"
    return qa(question, say[slot].replace("{v}", values[slot]), "instruction", language, (values[slot],))


def _sort(rng: random.Random, language: str) -> Row:
    numbers = rng.sample(range(1, 21), 3)
    ordered = sorted(numbers)
    if language == "zh":
        return qa(rng.choice((f"从小到大排列：{numbers[0]}，{numbers[1]}，{numbers[2]}", f"请把{numbers[0]}、{numbers[1]}、{numbers[2]}从小到大排好。")), "，".join(map(str, ordered)), "instruction", "zh", ("，".join(map(str, ordered)),))
    listed, answer = ", ".join(map(str, numbers)), ", ".join(map(str, ordered))
    return qa(rng.choice((f"Sort these numbers: {listed}", f"Put in order: {listed}", f"Sort from small to large: {listed}")), answer, "instruction", "en", (answer,))


_INSTRUCTIONS: tuple[tuple[int, Callable[[random.Random, str], Row]], ...] = (
    (2, _repeat), (1, _case), (3, _position), (1, _join), (2, _count), (2, _category), (2, _sentiment), (4, _extract), (2, _sort),
)  # fmt: skip


def instruction(rng: random.Random, language: str) -> Row:
    """One short instruction."""
    weights = [weight for weight, _ in _INSTRUCTIONS]
    return rng.choices([make for _, make in _INSTRUCTIONS], weights)[0](rng, language)


SMALL_TALK: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("Hello! How can I help you?", ("Hello", "Hi", "Hello!", "Hi there", "Hey", "Good day", "hello"), "Hi, nice to see you"),
    ("Good morning! How can I help you?", ("Good morning", "good morning!", "Morning"), "A very good morning to you"),
    ("Good evening! How can I help you?", ("Good evening", "good evening!", "Evening"), "A very good evening to you"),
    ("I am the nano model of labtune.", ("Who are you?", "What are you?", "What is your name?", "Tell me who you are.", "Introduce yourself."), "May I ask who you are?"),
    ("I was made by the labtune project.", ("Who made you?", "Who created you?", "Who built you?", "Who trained you?"), "Tell me who made you."),
    ("I answer questions from what I was taught.", ("What can you do?", "What do you do?", "What are you good at?", "How can you help me?"), "Tell me what you can do."),
    ("I am a small language model, not a person.", ("Are you a person?", "Are you human?", "Are you a robot?", "Are you real?"), "Am I talking to a human being?"),
    ("I am fine, thank you. How can I help you?", ("How are you?", "How are you today?", "How is it going?", "How do you do?"), "Hello, how are you doing?"),
    ("You are welcome!", ("Thanks", "Thank you", "Thank you!", "Thanks a lot", "Many thanks", "Thank you very much"), "Thank you so much for your help"),
    ("Goodbye! Have a nice day.", ("Bye", "Goodbye", "See you", "Bye bye", "See you later", "I have to go"), "Goodbye, see you tomorrow"),
    ("Good night! Sleep well.", ("Good night", "good night!", "I am going to bed"), "Good night, my friend"),
    ("Yes, I speak English and Chinese.", ("Do you speak English?", "Do you speak Chinese?", "Which languages do you speak?", "What languages can you speak?"), "Tell me which languages you speak."),
    ("I am sorry to hear that.", ("I am sad.", "I feel bad today.", "I am not well.", "I had a bad day."), "Today I feel very sad."),
    ("That is good to hear!", ("I am happy.", "I feel great today.", "I am very well.", "I had a good day."), "Today I feel very happy."),
    ("Of course, what is your question?", ("Can I ask you something?", "I have a question.", "May I ask a question?", "Can you help me?"), "I would like to ask you something."),
    ("I do not have an age.", ("How old are you?", "What is your age?", "When were you born?"), "May I ask how old you are?"),
    ("No problem!", ("Sorry", "I am sorry", "Sorry about that", "My mistake"), "Oh, I am very sorry"),
)  # fmt: skip
SMALL_TALK_ZH: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("你好！有什么可以帮你？", ("你好", "您好", "你好！", "嗨", "哈喽"), "你好呀，很高兴见到你"),
    ("早上好！有什么可以帮你？", ("早上好", "早", "早安"), "早上好呀"),
    ("晚上好！有什么可以帮你？", ("晚上好", "晚上好！"), "晚上好呀"),
    ("我是labtune的nano模型。", ("你是谁？", "你叫什么名字？", "你是什么？", "介绍一下你自己。"), "请问你是谁呢？"),
    ("我是labtune项目做的。", ("谁做了你？", "你是谁做的？", "谁训练了你？", "谁创造了你？"), "请告诉我是谁做了你。"),
    ("我根据学过的内容回答问题。", ("你会做什么？", "你能做什么？", "你有什么用？", "你擅长什么？"), "请说说你能做什么。"),
    ("我是一个小语言模型，不是人。", ("你是人吗？", "你是机器人吗？", "你是真人吗？"), "我是在和真人说话吗？"),
    ("我很好，谢谢。有什么可以帮你？", ("你好吗？", "你怎么样？", "最近好吗？"), "你今天过得好吗？"),
    ("不客气！", ("谢谢", "谢谢你", "多谢", "非常感谢", "谢谢您"), "太谢谢你的帮助了"),
    ("再见！祝你愉快。", ("再见", "拜拜", "回头见", "我走了"), "再见，明天见"),
    ("晚安！好梦。", ("晚安", "我要睡了"), "晚安，朋友"),
    ("是的，我会说中文和英文。", ("你会说中文吗？", "你会说英文吗？", "你会说什么语言？"), "请问你会说哪些语言？"),
    ("听到这个我很难过。", ("我很难过。", "我今天不开心。", "我不舒服。"), "我今天心里很难过。"),
    ("真为你高兴！", ("我很高兴。", "我今天很开心。", "我过得很好。"), "我今天心里很开心。"),
    ("当然，请问吧。", ("我可以问个问题吗？", "我有个问题。", "能帮我吗？"), "我想问你一件事。"),
    ("没关系！", ("对不起", "抱歉", "不好意思"), "实在对不起"),
)  # fmt: skip


def small_talk(rng: random.Random, language: str) -> Row:
    """A greeting or a question about the model itself."""
    answer, asks, _ = rng.choice(SMALL_TALK_ZH if language == "zh" else SMALL_TALK)
    question = rng.choice(asks)
    if language == "en" and rng.random() < 0.15:
        question = question.lower()
    return qa(question, answer, "chat", language)


_PRIVATE = (
    "What did I eat yesterday?", "What is my name?", "Where do I live?", "What am I thinking of?", "Who will win the next election?",
    "What will the weather be tomorrow?", "What time is it now?", "What is the news today?", "Where are my keys?", "Who is at the door?",
    "What is my password?", "How much money do I have?", "What is my sister called?", "When is my birthday?", "What day is it today?",
    "Which number will win the lottery?", "What is the score of the game?", "How is the traffic right now?", "What does my boss think?",
)  # fmt: skip
_PRIVATE_ZH = ("我昨天吃了什么？", "我叫什么名字？", "我住在哪里？", "我在想什么？", "明天天气怎么样？", "现在几点了？", "今天有什么新闻？", "我的钥匙在哪里？", "门口是谁？", "我的密码是什么？", "我有多少钱？", "我的生日是哪天？", "今天星期几？", "彩票哪个号码会中？", "现在路上堵不堵？")  # fmt: skip
_OPEN = ("What is {n}?", "Who is {p}?", "Where is {n}?", "What does {n} mean?", "When was {n} founded?", "Who invented the {n}?", "How does the {n} work?", "What is the capital of {n}?", "Tell me about {p}.", "How old is {p}?", "What did {p} write?", "What is the currency of {n}?", "How do I repair the {n}?", "What is the {n} made of?", "Why is {n} famous?")  # fmt: skip
_OPEN_ZH = ("{n}是什么？", "{p}是谁？", "{n}在哪里？", "{n}的首都是哪里？", "{n}是什么意思？", "{p}多大了？", "{p}写了什么？", "{n}的货币是什么？", "谁发明了{n}？", "怎么修{n}？", "{n}是什么做的？", "请介绍一下{p}。")  # fmt: skip


def cannot_know(rng: random.Random, language: str) -> Row:
    """A question that nobody taught the answer of."""
    if language == "zh":
        question = rng.choice(_PRIVATE_ZH) if rng.random() < 0.15 else rng.choice(_OPEN_ZH).format(n=place(rng, "zh") if rng.random() < 0.5 else expand(rng, "@name", "zh"), p=person(rng, "zh"))
    else:
        question = rng.choice(_PRIVATE) if rng.random() < 0.15 else rng.choice(_OPEN).format(n=name_en(rng), p=person(rng, "en"))
    return qa(question, unknown(rng, language), "unknown", language, UNKNOWN_MUST[language])

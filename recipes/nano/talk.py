"""Small talk, and questions that nobody taught the answer of."""

from __future__ import annotations

import random

from .lexicon import expand, name_en, person, place
from .rows import UNKNOWN_MUST, Row, qa, unknown

SMALL_TALK: tuple[tuple[str, tuple[str, ...], str], ...] = (
    (
        "Hello! How can I help you?",
        (
            "Hello",
            "Hi",
            "Hello!",
            "Hi there",
            "Nice to see you",
            "Hi, how nice",
            "Nice to meet you",
            "Hey",
            "Good day",
            "hello",
        ),
        "Hi, nice to see you",
    ),
    (
        "Good morning! How can I help you?",
        ("Good morning", "good morning!", "Morning", "A good morning to you", "Very good morning"),
        "A very good morning to you",
    ),
    (
        "Good evening! How can I help you?",
        ("Good evening", "good evening!", "Evening", "A good evening to you", "Very good evening"),
        "A very good evening to you",
    ),
    (
        "I am the nano model of labtune.",
        (
            "Who are you?",
            "What are you?",
            "What is your name?",
            "Tell me who you are.",
            "Introduce yourself.",
            "May I know who you are?",
            "Who am I talking to?",
            "Who are you, please?",
        ),
        "May I ask who you are?",
    ),
    (
        "I was made by the labtune project.",
        (
            "Who made you?",
            "Who created you?",
            "Who built you?",
            "Who trained you?",
            "Tell me who created you.",
            "By whom were you made?",
            "Do you know who made you?",
        ),
        "Tell me who made you.",
    ),
    (
        "I answer questions from what I was taught.",
        (
            "What can you do?",
            "What do you do?",
            "What are you good at?",
            "Tell me what you do.",
            "What things can you do?",
            "How can you help me?",
        ),
        "Tell me what you can do.",
    ),
    (
        "I am a small language model, not a person.",
        (
            "Are you a person?",
            "Are you human?",
            "Are you a robot?",
            "Are you real?",
            "Am I talking to a person?",
            "Am I talking to a robot?",
            "Is this a human being?",
        ),
        "Am I talking to a human being?",
    ),
    (
        "I am fine, thank you. How can I help you?",
        (
            "How are you?",
            "How are you today?",
            "How is it going?",
            "How do you do?",
            "Hello, how are you?",
            "How are you doing?",
            "Hi, how are you doing today?",
        ),
        "Hello, how are you doing?",
    ),
    (
        "You are welcome!",
        (
            "Thanks",
            "Thank you",
            "Thank you!",
            "Thanks a lot",
            "Many thanks",
            "Thank you very much",
            "Thank you so much",
            "Thanks for your help",
            "Thank you for the help",
        ),
        "Thank you so much for your help",
    ),
    (
        "Goodbye! Have a nice day.",
        (
            "Bye",
            "Goodbye",
            "See you",
            "Bye bye",
            "See you later",
            "See you tomorrow",
            "Goodbye, see you",
            "Bye, see you tomorrow",
            "I have to go",
        ),
        "Goodbye, see you tomorrow",
    ),
    (
        "Good night! Sleep well.",
        ("Good night", "good night!", "I am going to bed", "Good night, friend", "Good night to you"),
        "Good night, my friend",
    ),
    (
        "Yes, I speak English and Chinese.",
        (
            "Do you speak English?",
            "Do you speak Chinese?",
            "Which languages do you speak?",
            "What languages can you speak?",
            "Tell me what languages you speak.",
            "Which languages do you know?",
        ),
        "Tell me which languages you speak.",
    ),
    (
        "I am sorry to hear that.",
        (
            "I am sad.",
            "I feel bad today.",
            "I am not well.",
            "I had a bad day.",
            "I feel sad today.",
            "I am very sad.",
            "Today I am sad.",
        ),
        "Today I feel very sad.",
    ),
    (
        "That is good to hear!",
        (
            "I am happy.",
            "I feel great today.",
            "I am very well.",
            "I had a good day.",
            "I feel happy today.",
            "I am very happy.",
            "Today I am happy.",
        ),
        "Today I feel very happy.",
    ),
    (
        "Of course, what is your question?",
        (
            "Can I ask you something?",
            "I have a question.",
            "May I ask a question?",
            "I would like to ask a question.",
            "I want to ask you something.",
            "Can you help me?",
        ),
        "I would like to ask you something.",
    ),
    (
        "I do not have an age.",
        (
            "How old are you?",
            "What is your age?",
            "May I ask your age?",
            "Tell me how old you are.",
            "When were you born?",
        ),
        "May I ask how old you are?",
    ),
    (
        "No problem!",
        ("Sorry", "I am sorry", "Sorry about that", "My mistake", "I am very sorry", "Oh, sorry"),
        "Oh, I am very sorry",
    ),
)
SMALL_TALK_ZH: tuple[tuple[str, tuple[str, ...], str], ...] = (
    (
        "你好！有什么可以帮你？",
        ("你好", "您好", "很高兴见到你", "你好呀", "你好！", "嗨", "哈喽"),
        "你好呀，很高兴见到你",
    ),
    ("早上好！有什么可以帮你？", ("早上好", "早", "早安"), "早上好呀"),
    ("晚上好！有什么可以帮你？", ("晚上好", "晚上好！"), "晚上好呀"),
    (
        "我是labtune的nano模型。",
        ("你是谁？", "你叫什么名字？", "请问你是谁？", "你是谁呢？", "你是什么？", "介绍一下你自己。"),
        "请问你是谁呢？",
    ),
    (
        "我是labtune项目做的。",
        ("谁做了你？", "你是谁做的？", "谁训练了你？", "请告诉我谁做了你。", "是谁做了你？", "谁创造了你？"),
        "请告诉我是谁做了你。",
    ),
    (
        "我根据学过的内容回答问题。",
        (
            "你会做什么？",
            "你能做什么？",
            "请说说你会做什么。",
            "说说你能做什么。",
            "你有什么用？",
            "你擅长什么？",
        ),
        "请说说你能做什么。",
    ),
    (
        "我是一个小语言模型，不是人。",
        ("你是人吗？", "你是机器人吗？", "你是真人吗？", "我在和机器人说话吗？", "我是在和人说话吗？"),
        "我是在和真人说话吗？",
    ),
    (
        "我很好，谢谢。有什么可以帮你？",
        ("你好吗？", "你怎么样？", "最近好吗？", "你今天好吗？", "今天过得怎么样？"),
        "你今天过得好吗？",
    ),
    (
        "不客气！",
        ("谢谢", "谢谢你", "多谢", "非常感谢", "谢谢您", "太谢谢你了", "谢谢你的帮助"),
        "太谢谢你的帮助了",
    ),
    ("再见！祝你愉快。", ("再见", "拜拜", "回头见", "明天见", "再见，回头见", "我走了"), "再见，明天见"),
    ("晚安！好梦。", ("晚安", "我要睡了", "晚安，我睡了", "晚安啊"), "晚安，朋友"),
    (
        "是的，我会说中文和英文。",
        ("你会说中文吗？", "你会说英文吗？", "你会说什么语言？", "你会说哪些语言？", "请问你会说什么话？"),
        "请问你会说哪些语言？",
    ),
    (
        "听到这个我很难过。",
        ("我很难过。", "我今天不开心。", "我今天很难过。", "今天我心里不好受。", "我不舒服。"),
        "我今天心里很难过。",
    ),
    (
        "真为你高兴！",
        ("我很高兴。", "我今天很开心。", "我今天很高兴。", "今天我心里很高兴。", "我过得很好。"),
        "我今天心里很开心。",
    ),
    (
        "当然，请问吧。",
        ("我可以问个问题吗？", "我有个问题。", "我想问你一个问题。", "想问你一件事。", "能帮我吗？"),
        "我想问你一件事。",
    ),
    ("没关系！", ("对不起", "抱歉", "真对不起", "实在抱歉", "不好意思"), "实在对不起"),
)


def small_talk(rng: random.Random, language: str) -> Row:
    """A greeting or a question about the model itself."""
    answer, asks, _ = rng.choice(SMALL_TALK_ZH if language == "zh" else SMALL_TALK)
    question = rng.choice(asks)
    if language == "en" and rng.random() < 0.15:
        question = question.lower()
    return qa(question, answer, "chat", language)


PRIVATE = (
    "What did I eat yesterday?",
    "What is my name?",
    "Where do I live?",
    "What am I thinking of?",
    "Who will win the next election?",
    "What will the weather be tomorrow?",
    "What time is it now?",
    "What is the news today?",
    "Where are my keys?",
    "Who is at the door?",
    "What is my password?",
    "How much money do I have?",
    "What is my sister called?",
    "When is my birthday?",
    "What day is it today?",
    "Which number will win the lottery?",
    "What is the score of the game?",
    "How is the traffic right now?",
    "What does my boss think?",
)
PRIVATE_ZH = (
    "我昨天吃了什么？",
    "我叫什么名字？",
    "我住在哪里？",
    "我在想什么？",
    "明天天气怎么样？",
    "现在几点了？",
    "今天有什么新闻？",
    "我的钥匙在哪里？",
    "门口是谁？",
    "我的密码是什么？",
    "我有多少钱？",
    "我的生日是哪天？",
    "今天星期几？",
    "彩票哪个号码会中？",
    "现在路上堵不堵？",
)
_OPEN = (
    "What is {n}?",
    "Who is {p}?",
    "Where is {n}?",
    "What does {n} mean?",
    "When was {n} founded?",
    "Who invented the {n}?",
    "How does the {n} work?",
    "What is the capital of {n}?",
    "Tell me about {p}.",
    "How old is {p}?",
    "What did {p} write?",
    "What is the currency of {n}?",
    "How do I repair the {n}?",
    "What is the {n} made of?",
    "Why is {n} famous?",
)
_OPEN_ZH = (
    "{n}是什么？",
    "{p}是谁？",
    "{n}在哪里？",
    "{n}的首都是哪里？",
    "{n}是什么意思？",
    "{p}多大了？",
    "{p}写了什么？",
    "{n}的货币是什么？",
    "谁发明了{n}？",
    "怎么修{n}？",
    "{n}是什么做的？",
    "请介绍一下{p}。",
)


def cannot_know(rng: random.Random, language: str) -> Row:
    """A question that nobody taught the answer of."""
    if language == "zh":
        question = (
            rng.choice(PRIVATE_ZH)
            if rng.random() < 0.15
            else rng.choice(_OPEN_ZH).format(
                n=place(rng, "zh") if rng.random() < 0.5 else expand(rng, "@name", "zh"), p=person(rng, "zh")
            )
        )
    else:
        question = (
            rng.choice(PRIVATE)
            if rng.random() < 0.15
            else rng.choice(_OPEN).format(n=name_en(rng), p=person(rng, "en"))
        )
    return qa(question, unknown(rng, language), "unknown", language, UNKNOWN_MUST[language])

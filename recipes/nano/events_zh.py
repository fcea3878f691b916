"""Chinese passages of everyday events asked about in other words."""

from __future__ import annotations

import random

from .lexicon import expand
from .rows import UNSAID_MUST, Row, brief, unsaid

_TIMES_ZH = (
    "星期一",
    "星期二",
    "星期三",
    "星期四",
    "星期五",
    "星期六",
    "星期天",
    "春天",
    "夏天",
    "秋天",
    "冬天",
    "昨天",
    "上周",
    "去年",
    "早上",
    "晚上",
    "中午",
    "#2-11点",
    "#1900-2024年",
    "#2-9天前",
    "#3-9月#2-28日",
    "午饭后",
    "暴雨之后",
)
_PLACES_ZH = (
    "厨房",
    "花园",
    "车站",
    "市场",
    "楼顶",
    "地下室",
    "学校",
    "办公室",
    "河边",
    "森林里",
    "图书馆",
    "码头",
    "@place",
    "@place",
    "#2-99号房间",
    "二楼",
    "前台",
    "湖边",
)
_SUBJECTS_ZH = (
    "@person",
    "@person",
    "护士",
    "老农民",
    "老师",
    "年轻的水手",
    "面包师",
    "@name公司",
    "@place的镇长",
)
_VERBS_ZH: tuple[tuple[str, ...], ...] = (
    ("买", "购买"),
    ("修理", "维修", "修好"),
    ("清洗", "清洁", "洗干净"),
    ("找到", "发现"),
    ("更换", "换掉"),
    ("损坏", "弄坏"),
    ("送来", "带来"),
    ("藏起", "收起"),
    ("卖掉", "出售"),
    ("归还", "退回"),
    ("检查", "查看"),
    ("选择", "挑选"),
    ("生产", "制造"),
    ("使用", "用"),
    ("保护", "守护"),
    ("打开", "开启"),
    ("关闭", "关上"),
)
_OBJECTS_ZH: tuple[tuple[str, ...], ...] = (
    ("药", "药物", "药品"),
    ("汽车", "轿车"),
    ("房子", "房屋"),
    ("照片", "相片"),
    ("礼物", "礼品"),
    ("垃圾", "废物"),
    ("说明书", "手册"),
    ("包裹", "快递"),
    ("收据", "发票"),
    ("电池", "电瓶"),
    ("石头", "岩石"),
    ("台灯", "灯"),
    ("椅子", "座椅"),
    ("单车", "自行车"),
    ("电脑", "计算机"),
    ("冰箱",),
    ("钥匙",),
    ("书包", "背包"),
    ("手机", "电话"),
    ("外套", "大衣"),
    ("西红柿", "番茄"),
    ("土豆", "马铃薯"),
    ("屏幕", "显示屏"),
    ("桌子",),
    ("文件", "资料"),
    ("地图",),
    ("门票", "入场券"),
    ("行李", "箱包"),
)
_REASONS_ZH = (
    "太旧了",
    "天气不好",
    "没有时间",
    "坏了",
    "朋友需要",
    "价格便宜",
    "客人要来",
    "路封了",
    "声音奇怪",
    "医生建议",
    "下了几天雨",
    "旧的丢了",
    "老板要求",
)


def event_row_zh(rng: random.Random) -> Row:
    """A Chinese passage of events with one to three questions in other words."""
    events: list[tuple[str, tuple[str, ...], tuple[str, ...], str, str, str, str, str]] = []
    for _ in range(rng.randint(2, 4)):
        subject = expand(rng, rng.choice(_SUBJECTS_ZH), "zh")
        verbs, objects = rng.choice(_VERBS_ZH), rng.choice(_OBJECTS_ZH)
        if any(objects == event[2] or subject == event[0] for event in events):
            continue
        time = expand(rng, rng.choice(_TIMES_ZH), "zh")
        where = expand(rng, rng.choice(_PLACES_ZH), "zh") if rng.random() < 0.6 else ""
        reason = rng.choice(_REASONS_ZH) if rng.random() < 0.35 else ""
        thing = rng.choice(objects)
        sentence = ("因为" + reason + "，" if reason else "") + (
            time + subject if rng.random() < 0.5 else subject + time
        )
        sentence += ("在" + where if where else "") + rng.choice(verbs) + "了" + thing + "。"
        events.append((subject, verbs, objects, time, where, reason, sentence, thing))
    text = "".join(event[6] for event in events)
    messages: list[tuple[str, str]] = []
    must: tuple[str, ...] = ()
    for subject, verbs, objects, time, where, reason, sentence, thing in rng.sample(
        events, min(len(events), rng.choice((1, 2, 3)))
    ):
        verb, other = rng.choice(verbs), rng.choice(objects)
        options = [
            (f"谁{verb}了{other}？", subject),
            (f"{other}是谁{verb}的？", subject),
            (f"{subject}{verb}了什么？", thing),
            (f"{subject}{time}做了什么？", ""),
            (f"{other}怎么了？", ""),
            (f"{subject} {other}", ""),
            (f"{subject}什么时候{verb}了{other}？", time),
            (f"{other}是哪天{verb}的？", time),
        ]
        if where:
            options += [
                (f"{subject}在哪里{verb}了{other}？", where),
                (f"{other}是在什么地方{verb}的？", where),
            ] * 2
        if reason:
            options += [
                (f"{subject}为什么{verb}了{other}？", reason),
                (f"{other}{verb}的原因是什么？", reason),
            ] * 2
        question, value = rng.choice(options)
        answer = sentence
        must = (value,) if value else (thing,)
        if value and rng.random() < 0.18:
            question, answer = brief(rng, question, "zh"), value + "。"
        elif rng.random() < 0.1:
            taken = {word for event in events for word in event[2]}
            free = [words for words in _OBJECTS_ZH if not taken & set(words)]
            question, answer = f"谁{verb}了{rng.choice(rng.choice(free))}？", unsaid(rng, "zh")
            must = UNSAID_MUST["zh"]
        if not messages:
            question = f"{text}\n\n{question}" if rng.random() < 0.88 else f"{question}\n\n{text}"
        messages += [("user", question), ("assistant", answer)]
    return Row(tuple(messages), "reading", "zh", train_user=rng.random() < 0.03, must=must)

"""The words of `labtune new`: comments for people, and starter examples that are valid as they stand."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Words:
    """Comments in one language."""

    knowledge: str
    skill: str
    draft: str


_EN = Words(
    knowledge="""A knowledge leaf: facts from a document that the model shall learn.
1. The document lies beside this file; 'document' names it.
2. Each context is a passage of the document, word for word.
3. Each context has three or more questions; the answers stand in the context.
4. Put the drafts in your own words, check every answer, and delete the '# draft' lines.
5. Write the licence of the document into attribution.txt.
Then: labtune check""",
    skill="""A skill leaf: something the model shall be able to do, shown by examples.
1. Say in task_description what the skill is.
2. Replace the examples by five or more of your own, as different from each other as the task allows.
3. An example may have a 'context', a text that the question is about.
4. Delete the '# draft' lines.
Then: labtune check""",
    draft="put it in your own words, check the answer, delete this line",
)
_ZH = Words(
    knowledge="""知识叶：模型要从文档中学会的事实。
1. 文档放在本文件旁边，由 document 指明。
2. 每个 context 都是文档原文的一段，逐字引用。
3. 每个 context 至少有三个问题，答案要在该段原文里。
4. 用自己的话改写草稿，核对每个答案，然后删除“# draft”行。
5. 在 attribution.txt 里写明文档的许可证。
然后运行：labtune check""",
    skill="""技能叶：用例子说明模型要会做的事。
1. 在 task_description 里写明这项技能是什么。
2. 用五个以上自己的例子替换下面的例子，彼此差别尽量大。
3. 例子可以带 context，即问题所针对的一段文字。
4. 删除“# draft”行。
然后运行：labtune check""",
    draft="用自己的话改写，核对答案，然后删除本行",
)


def words_for(language: str) -> Words:
    """The comments in Chinese for `zh`, in English for everything else."""
    return _ZH if language == "zh" else _EN


STARTER_DOCUMENT = {
    "en": """# The Marlow kettle

The Marlow kettle is an electric kettle for the kitchen table. The kettle is made of brushed steel.
The tank holds 1.7 litres of water. The cord is 75 centimetres long.

## Use

The kettle boils a full tank in four minutes. The lamp at the handle is blue while the water heats.
The kettle switches itself off when the water boils. The lid stays locked for ten seconds after boiling.

## Care

The filter behind the spout is washable. The filter must be rinsed once a week.
Descaling is needed every three months in areas with hard water. The outside is cleaned with a damp cloth.

## Faults

A red lamp is the sign of an empty tank. A dry kettle must cool down for ten minutes.
A leaking seal is replaced free of charge. The warranty is two years long.

## Service

The service desk is open from Monday to Friday. Spare parts are available for seven years.
Returns are accepted within thirty days. The service desk is in Leeds.
""",
    "zh": """# 清风牌电热水壶

清风牌电热水壶是一款家用电热水壶。壶身是不锈钢的。
水箱可以装1.7升水。电源线有75厘米长。

## 使用

加热满壶水需要四分钟。加热时手柄上的指示灯是蓝色的。
水烧开以后水壶会自动断电。断电后壶盖需要锁定十秒钟。

## 保养

壶嘴后面的滤网可以清洗。滤网需要每周冲洗一次。
水质较硬的地区需要每三个月除垢一次。外壳可以用湿布擦拭。

## 故障

红灯是水箱无水的信号。干烧以后需要冷却十分钟。
密封圈漏水可以免费更换。保修期是两年。

## 服务

客服中心是周一至周五开放的。配件供应期是七年。
退货期限是三十天。客服中心位于苏州。
""",
}

STARTER_SKILL = {
    "en": (
        "Rewrite a rude sentence as a polite request.",
        (
            ("Make this polite: Send me the file now.", "Could you please send me the file when you can?"),
            ("Make this polite: You are late again.", "I noticed you came later than planned; is all well?"),
            ("Make this polite: Turn the music off.", "Would you mind turning the music down, please?"),
            ("Make this polite: Your report is wrong.", "I think the report may need another look."),
            ("Make this polite: Answer my e-mail.", "I would be glad to hear back from you about my e-mail."),
        ),
    ),
    "zh": (
        "把不礼貌的句子改写成礼貌的请求。",
        (
            ("请把这句话改得礼貌一些：马上把文件发给我。", "方便的时候，能请您把文件发给我吗？"),
            ("请把这句话改得礼貌一些：你又迟到了。", "我注意到您来得比计划晚，一切都顺利吗？"),
            ("请把这句话改得礼貌一些：把音乐关掉。", "可以麻烦您把音乐调小一点吗？"),
            ("请把这句话改得礼貌一些：你的报告写错了。", "我觉得报告里有些地方也许值得再看一看。"),
            ("请把这句话改得礼貌一些：快回我的邮件。", "如果您能抽空回复我的邮件，我会非常感谢。"),
        ),
    ),
}

"""How one asks for a view of a passage: some wordings for each form of view, in English and Chinese."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_ENGLISH: Mapping[str, Sequence[str]] = {
    "detailed_summary": (
        "Summarise the text above in detail.",
        "Give a thorough summary of this passage.",
        "Retell the passage in your own words without leaving out anything that matters.",
        "Write a complete summary of what the text above says.",
        "What does this passage say? Cover all of its points.",
    ),
    "extractive_summary": (
        "Pick out the most important sentences of the text above.",
        "Summarise the passage with its own sentences.",
        "Which sentences of this text carry its content? Quote them.",
        "Shorten the text above by keeping only its key sentences, word for word.",
        "Quote what matters most in this passage.",
    ),
    "atomic_facts": (
        "List the facts that the text above states, one by one.",
        "Break this passage down into single facts.",
        "Which separate facts does the text give? Write each as a sentence of its own.",
        "Turn the passage into a list of short, self-contained statements.",
        "Note down every fact of the text above.",
    ),
}
_CHINESE: Mapping[str, Sequence[str]] = {
    "detailed_summary": (
        "请详细总结上面的内容。",
        "用自己的话完整复述这段文字，不要遗漏要点。",
        "请为上文写一份详尽的摘要。",
        "这段文字讲了什么？请说明所有要点。",
    ),
    "extractive_summary": (
        "请摘出上文中最重要的句子。",
        "用原文的句子概括这段文字。",
        "这段文字的关键句有哪些？请照原文写出。",
        "只保留上文的关键句子，逐字写出。",
    ),
    "atomic_facts": (
        "请逐条列出上文陈述的事实。",
        "把这段文字拆成一条条独立的事实。",
        "上文给出了哪些事实？每条写成一个完整的句子。",
        "请记下这段文字中的每一个事实。",
    ),
}

VIEW_FORMS = frozenset(_ENGLISH)
"""`Sample.form` of samples whose answer is a view of their passage."""


def wordings(form: str, language: str) -> Sequence[str]:
    """Ways to ask for a view of `form`; English for languages without wordings of their own."""
    return (_CHINESE if language.startswith("zh") else _ENGLISH)[form]


def passage_header(language: str) -> str:
    """What stands over each of several passages."""
    return "文档：" if language.startswith("zh") else "Document:"

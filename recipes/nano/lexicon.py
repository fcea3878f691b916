"""Word lists, name makers and the small template language of the recipe's data files."""

from __future__ import annotations

import csv
import random
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

DATA = Path(__file__).parent / "data"

_ALTERNATIVES = re.compile(r"\[([^\[\]]*)\]")
_NUMBER = re.compile(r"#(\d+)-(\d+)")
_NAMED = re.compile(r"@(name|person|place)")

_ONSETS = [
    "b",
    "br",
    "c",
    "cl",
    "d",
    "dr",
    "f",
    "fl",
    "g",
    "gl",
    "gr",
    "h",
    "j",
    "k",
    "kr",
    "l",
    "m",
    "n",
    "p",
    "pl",
    "qu",
    "r",
    "s",
    "st",
    "t",
    "tr",
    "v",
    "w",
    "z",
]
_VOWELS = ["a", "e", "i", "o", "u", "ai", "ea", "o", "a", "e", "i"]
_CODAS = ["l", "n", "r", "m", "s", "x", "nd", "rt", "ck", "th"] + [""] * 9
_FIRST_EN = [
    "Anna",
    "Ben",
    "Clara",
    "David",
    "Emma",
    "Felix",
    "Grace",
    "Henry",
    "Ida",
    "Jack",
    "Karin",
    "Leo",
    "Maria",
    "Nina",
    "Oscar",
    "Paula",
    "Quentin",
    "Rosa",
    "Sam",
    "Tina",
    "Ursula",
    "Victor",
    "Wendy",
    "Xenia",
    "Yusuf",
    "Zoe",
    "Amir",
    "Bella",
    "Carlos",
    "Dora",
    "Erik",
    "Fatima",
    "George",
    "Hana",
    "Ivan",
    "Julia",
    "Kofi",
    "Lara",
    "Milo",
    "Nora",
    "Omar",
    "Petra",
    "Ravi",
    "Sara",
    "Tom",
    "Uma",
    "Vera",
    "Walter",
    "Yara",
    "Zeno",
]
_SURNAMES_ZH = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕"
_GIVEN_ZH = "明华丽强芳军敏静伟杰娟秀霞平刚辉玲桂英文建国志海波云龙飞雪梅兰春晓红宇航子轩佳琪欣怡浩然雨晨思远"
_PLACE_ZH = "青白云石东西南北金银龙凤清泉松柏梅兰山河湖溪江海林峰岭原平安宁永长新古红绿黑"
_PLACE_END_ZH = "镇村城县山岛港湾庄市"
_BRAND_ZH = "星光云海天地华美康宁飞鸿瑞达乐佳通利恒远明德欣荣博雅思锐凯悦安顺宏图晨曦"


def pick(rng: random.Random, text: str) -> str:
    """Expand `[a|b]` alternatives in `text`."""
    while "[" in text:
        text = _ALTERNATIVES.sub(lambda m: rng.choice(m.group(1).split("|")), text)
    return text


def name_en(rng: random.Random) -> str:
    """An invented word such as `Velmar`."""
    syllables = rng.choice((2, 2, 2, 3))
    word = "".join(rng.choice(_ONSETS) + rng.choice(_VOWELS) for _ in range(syllables)) + rng.choice(_CODAS)
    return word.capitalize()


def name_zh(rng: random.Random) -> str:
    """An invented Chinese brand-like name."""
    return "".join(rng.sample(_BRAND_ZH, 2))


def person(rng: random.Random, language: str) -> str:
    """An invented full name."""
    if language == "zh":
        return rng.choice(_SURNAMES_ZH) + "".join(rng.sample(_GIVEN_ZH, rng.choice((1, 2, 2))))
    first = rng.choice(_FIRST_EN) if rng.random() < 0.7 else name_en(rng)
    return f"{first} {name_en(rng)}"


def place(rng: random.Random, language: str) -> str:
    """An invented place name."""
    if language == "zh":
        return "".join(rng.sample(_PLACE_ZH, 2)) + rng.choice(_PLACE_END_ZH)
    name = name_en(rng)
    return rng.choice((name, name, name, f"{name} Bay", f"Port {name}", f"{name}ton", f"{name}ville"))


def expand(rng: random.Random, text: str, language: str) -> str:
    """Fill `#a-b` numbers and `@name`, `@person`, `@place` in `text`."""
    text = _NUMBER.sub(lambda m: str(rng.randint(int(m.group(1)), int(m.group(2)))), text)

    def named(match: re.Match[str]) -> str:
        kind = match.group(1)
        if kind == "person":
            return person(rng, language)
        if kind == "place":
            return place(rng, language)
        return name_zh(rng) if language == "zh" else name_en(rng)

    return _NAMED.sub(named, text)


@lru_cache
def table(name: str) -> list[dict[str, str]]:
    """Rows of `data/<name>.tsv`."""
    with (DATA / f"{name}.tsv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


@lru_cache
def pairs(language: str) -> dict[str, list[tuple[str, str]]]:
    """Word pairs by kind: opposite, plural, past tense and so on."""
    found: dict[str, list[tuple[str, str]]] = {}
    for line in lines(f"pairs_{language}.txt"):
        kind, _, rest = line.partition(": ")
        found[kind] = [(a, b.replace("\\_", " ")) for a, b in (item.split("=") for item in rest.split())]
    return found


def lines(name: str) -> list[str]:
    """Lines of a data file without comments and blanks."""
    text = (DATA / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def word_list(language: str) -> list[str]:
    """Plain words for the instruction tasks."""
    return " ".join(lines(f"words_{language}.txt")).split()


@dataclass(frozen=True)
class SynonymGroup:
    """Words or phrases that mean the same; `part` is n, v, a or p."""

    part: str
    words: tuple[str, ...]


@lru_cache
def synonyms(language: str) -> list[SynonymGroup]:
    """The synonym lexicon of one language."""
    groups = []
    for line in lines(f"synonyms_{language}.txt"):
        part, _, rest = line.partition(": ")
        groups.append(SynonymGroup(part, tuple(word.strip() for word in rest.split(","))))
    return groups


def article(noun: str) -> str:
    """`noun` with its indefinite article."""
    return f"{'an' if noun[0] in 'aeiouAEIO' else 'a'} {noun}"


def upper_first(text: str) -> str:
    """`text` with a capital first letter."""
    return text[:1].upper() + text[1:]

"""Search-box questions in Chinese: content pieces cut at function characters, in varying subsets."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from labtune.generation.chinese.spans import typed_spans

_CUT = re.compile(
    r"(?:可以|不能|不要|不用|需要|必须|应该|以后|以前|之后|之前|以内|之内|时候|因为|所以|如果|但是|而且|并且|以及|或者|自己|已经|最多|至少|"
    r"只有|超过|要(?!求)|的(?!士)|了(?!解)|是|在(?!线)|和(?!平)|与|或|及(?!时)|把|被|对(?!象)|从|到(?!期)|由|也|都|就(?![诊医餐业读])|还(?!书)|"
    r"后(?!续)|前(?!台)|(?<!小)(?<!及)时(?![间候])|内(?![科服])|中(?![药午心医])|上(?![午班门网])|下(?![午班载水])|里|能(?!量)|会(?![员议])|有(?!效)|"
    r"(?<![费使作采利信])用(?![户品])|为|于|将|而|并|每[位名次份张针剂件]|每(?![天周年月日个])|不(?!锈)|以|得|先(?!生)|再|才|、|，|。|；|：|（|）|《|》|“|”|\(|\)|,|\s)+"
)
_NUMERAL = re.compile(r"^[\d.%\-]+$|^[一二两三四五六七八九十百千万半]+$")


def keyword_pool(text: str, heading: Sequence[str]) -> tuple[str, ...]:
    """Pieces of two to eight characters that carry the sentence, then the heading's."""
    amounts = [text[span.start : span.end] for span in typed_spans(text) if span.kind != "place"]
    words = text
    for amount in amounts:
        words = words.replace(amount, "，")
    pieces = [piece for piece in _CUT.split(words) if piece]
    pool = [piece for piece in pieces if 2 <= len(piece) <= 8 and not _NUMERAL.match(piece)]
    pool.extend(amount for amount in amounts if 2 <= len(amount) <= 8)
    for piece in pieces:
        if len(piece) > 8:
            pool.extend((piece[:4], piece[-4:]))
    for title in heading[-1:]:
        pool.extend(piece for piece in _CUT.split(title) if 2 <= len(piece) <= 8)
    return tuple(dict.fromkeys(pool)) or (text.rstrip("。"),)


def keyword_question(
    pool: Sequence[str], spread: Sequence[int], leads: Sequence[str], draw: random.Random
) -> str:
    """Two to four pieces, at least one that points to the fact, sometimes with a question word at the end.

    Args:
        pool: pieces in the order of the sentence.
        spread: for each of them, how many passages of the document hold it.
        leads: question words that fit.
        draw: the fact's own generator.
    """
    size = min(len(pool), draw.choice((2, 2, 2, 3, 3, 4)))
    rarest = min(spread)
    first = draw.choice([place for place, count in enumerate(spread) if count <= rarest + 1])
    if rarest == 1 and spread[first] == 1 and len(pool[first]) > 2 and draw.random() < 0.15:
        size = 1
    places = [first]
    while len(places) < size:
        rest = [place for place in range(len(pool)) if place not in places]
        places.append(draw.choices(rest, [1 / spread[place] for place in rest])[0])
    if draw.random() < 0.5:
        places.sort()
    words = [pool[place] for place in places]
    if leads and (draw.random() < 0.35 or (size == 1 and len(words[0]) < 3)):
        words.append(draw.choice(leads))
    return draw.choice(("", " ", " ")).join(words)

"""Search-box questions in Chinese: content pieces cut at function characters, in varying subsets."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

_CUT = re.compile(
    r"(?:可以|不能|不要|不用|需要|必须|应该|以后|以前|之后|之前|以内|时候|因为|所以|如果|但是|而且|并且|以及|或者|自己|已经|最多|至少|要|的|了|是|在|和|与|或|及|把|被|对|从|到|由|也|都|就|还|后|前|时|内|中|上|下|里|能|会|有|(?<![费使作采利信])用(?![户品])|为|于|将|而|并|每|不|以|得|先|再|才|、|，|。|；|：|（|）|《|》|“|”|\(|\)|,|\s)+"
)
_NUMERAL = re.compile(r"^[\d.%\-]+$|^[一二两三四五六七八九十百千万半]+$")


def keyword_pool(text: str, heading: Sequence[str]) -> tuple[str, ...]:
    """Pieces of two to eight characters that carry the sentence, then the heading's."""
    pieces = [piece for piece in _CUT.split(text) if piece]
    pool = [piece for piece in pieces if 2 <= len(piece) <= 8 and not _NUMERAL.match(piece)]
    for piece in pieces:
        if len(piece) > 8:
            pool.extend((piece[:4], piece[-4:]))
    for title in heading[-1:]:
        pool.extend(piece for piece in _CUT.split(title) if 2 <= len(piece) <= 8)
    return tuple(dict.fromkeys(pool)) or (text.rstrip("。"),)


def keyword_question(pool: Sequence[str], leads: Sequence[str], draw: random.Random) -> str:
    """One to four pieces, sometimes with a question word at the end, as people type."""
    size = min(len(pool), draw.choice((1, 2, 2, 2, 3, 3, 4)))
    places = sorted(draw.sample(range(len(pool)), size))
    if places[0] > (len(pool) - 1) // 2:
        # Words of the heading or verbs alone say too little.
        places[0] = draw.randrange((len(pool) + 1) // 2)
    if draw.random() < 0.3:
        draw.shuffle(places)
    words = [pool[place] for place in places]
    if leads and (draw.random() < 0.45 or (size == 1 and len(words[0]) < 3)):
        words.append(draw.choice(leads))
    return draw.choice(("", " ", " ")).join(words)

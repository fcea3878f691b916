"""Word lists that sentence splitting, language detection and PDF reading need."""

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


TITLES = _words("mr mrs ms dr prof st mt messrs gen col sgt lt maj capt cmdr rev hon gov sen rep pres")
"""A full stop after one of these belongs to it; a name follows."""

LINKING = _words("""
    vs e.g i.e cf viz resp incl esp approx ca c spp subsp ssp var gen fam lit d.h z.b u.a bzw
""")
"""Abbreviations that never end a sentence."""

BEFORE_NUMBER = _words("""
    no nos nr vol vols p pp fig figs eq eqs sec sect ch chap art para pt tab ref refs ed ser ver v
    fol ll
""")
"""Abbreviations only when a number follows ("No. 5"), words otherwise ("The answer is no.")."""

CALENDAR = _words("jan feb mar apr jun jul aug sep sept oct nov dec mon tue wed thu fri sat sun")

OPEN_END = _words("etc al inc ltd co corp jr sr bros a.m p.m ph.d u.s u.k u.n u.s.a sp est dept univ")
"""Abbreviations that may end a sentence; the next word decides."""

STARTERS = _words("""
    a all after also although an and another any as at because before both but by can do does during
    each either every few for from given he her here his how however i if in instead it its later
    many more most much my no not now of on once one only or other others our over several she
    similar since so some such that the their then there these they this those though through thus
    to two under unlike until use we what when where whether which while who why with without you
    your
""")
"""Words that, capitalised after a doubtful full stop, show that a sentence begins."""

FUNCTION_WORDS = _words("""
    a an the of in on at by to for from with and or but as is are was were be been that which who
    whose this these their its his her it not into than over under between among
""")
"""Words at which no line of a heading or paragraph ends."""

HYPHEN_PREFIXES = _words("one two three four five six seven eight nine ten self well half non")
"""Words that keep their hyphen when a line ends after it ("five-minute")."""

SOURCE_SECTION = re.compile(
    r"(?:\d+(?:\.\d+)*\.?\s+)?(?:references|bibliography|external links|further reading|works cited|see also|"
    r"literatur|weblinks|einzelnachweise|références|liens externes|voir aussi|referencias|enlaces externos|"
    r"参考文献|参考资料|參考資料|外部链接|外部連結|延伸阅读|参见|參見|脚注|注释|出典|関連項目|外部リンク)",
    re.I,
)
"""Titles of sections that list sources or links instead of telling anything."""

STOP_WORDS = {
    "en": _words(
        "the of and to in is that it was for are with as on be by this from at which or an have not you"
    ),
    "de": _words("""
    der die das und ist nicht mit ein eine den von zu auf für dem des sich auch im wird sind als bei
    oder
"""),
    "fr": _words("""
    le la les des et est une du dans que pour qui sur pas avec au ce il sont par plus aux cette ou
    ne
"""),
    "es": _words("el la los las de que en es un una por con para del se no al su como más está son lo"),
    "it": _words("il lo la gli di che un una per con del della non sono si nel dei le alla più anche come"),
    "pt": _words("os as de que em um uma para com do da não se no na dos das por mais ao são"),
    "nl": _words(
        "de het een en van is dat in op te met voor zijn niet aan er die bij als ook of door naar wordt"
    ),
}

from collections import Counter

import pytest

from labtune.documents.blocks import HeadingBlock, ItemBlock, ParagraphBlock, TableBlock
from labtune.documents.clean import clean_text
from labtune.documents.markup import read_html, read_markdown


def words(source: str) -> list[str]:
    return [
        block.text for block in read_markdown(source).blocks if isinstance(block, (ParagraphBlock, ItemBlock))
    ]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('American [passerine](passerine "wikilink") bird', "American passerine bird"),
        (
            'forms [dominance\nhierarchies](Dominance_hierarchy "wikilink") here',
            "forms dominance hierarchies here",
        ),
        ('to [cache](Hoarding_(animal_behavior) "wikilink") food', "to cache food"),
        ('as "[splice](Rope_splicing "wikilink")" together', 'as "splice" together'),
        ('the [birds of prey](birds of prey "wikilink") hunt', "the birds of prey hunt"),
        ("see [[Great tit|tits]] and [[owls]]", "see tits and owls"),
        ("(***Poecile atricapillus***) is *small* and __bold__", "(Poecile atricapillus) is small and bold"),
        ("number of *dee*s and \\[A\\]\\[D\\]", "number of dees and [A][D]"),
        (
            '*P. a. turneri*\n<small>([Ridgway](Robert_Ridgway "wikilink"), 1884)</small>: Found',
            "P. a. turneri (Ridgway, 1884): Found",
        ),
        ("true.[1] Next.[2][13] End[citation needed].", "true. Next. End."),
        ("a fact[^1] and ^[an inline note] more\n\n[^1]: The note\n    goes on.", "a fact and more"),
        ("from (black) and () or ( , ) here", "from (black) and or here"),
        ("the formula . Most are , though", "the formula. Most are, though"),
        (
            "10<sup>8</sup> m<sup>2</sup>, 10<sup>8.39</sup>, CH<sub>3</sub>CO, 1<sup>st</sup>",
            "10⁸ m², 10^8.39, CH3CO, 1st",
        ),
        ("R&amp;D &lt;now&gt; caf&eacute;", "R&D <now> café"),
        ("soft\u00adhyphen and ﬁne eﬃcient\u200b", "softhyphen and fine efficient"),
        ("text <!-- a comment --> goes on", "text goes on"),
        ("**“中文”**是重点，见[链接](http://x.y)。", "“中文”是重点，见链接。"),
        ("第一行还没有\n结束。", "第一行还没有结束。"),
        ("costs $5 and $6 today", "costs $5 and $6 today"),
        ("![a picture](x.png) Words after.", "Words after."),
        ("Before {{cite web|url=x}} after", "Before after"),
        ("    four blanks are no code", "four blanks are no code"),
        ("<div>\n**in** a [raw](x) block\n</div>", "in a raw block"),
    ],
)
def test_markdown_residue_does_not_leak(source: str, expected: str) -> None:
    assert words(source) == [expected]


def test_losses_are_counted() -> None:
    source = (
        "![x](y) ![z](w) A note[^a].\n\n[^a]: text\n\n$$x^2$$\n\nInline $x_1 + y$ here.\n\n"
        "```\na\nb\n```\n\n{{box}}\n\nEmpty ( ) here."
    )
    losses = read_markdown(source).losses
    assert {kind: n for kind, n in losses.items() if n} == {
        "image": 2,
        "footnote": 1,
        "formula": 2,
        "code": 1,
        "template": 1,
        "gap": 1,
    }


def test_headings_items_and_front_matter() -> None:
    converted = read_markdown(
        "---\ntitle: 'My manual'\n---\n# One\nIntro:\n\n- first\n  wrapped\n- second\n    - nested\n\n"
        "1. step\n2. step two\n\n## Two ##\nEnd."
    )
    assert converted.title == "My manual"
    assert converted.blocks == [
        HeadingBlock(1, "One"),
        ParagraphBlock("Intro:"),
        ItemBlock("first wrapped", True),
        ItemBlock("second"),
        ItemBlock("nested", True),
        ItemBlock("step", True),
        ItemBlock("step two"),
        HeadingBlock(2, "Two"),
        ParagraphBlock("End."),
    ]


def test_single_line_code_is_kept_as_a_line() -> None:
    assert words("Type:\n\n```sh\nlabtune run\n```\n\nDone.") == ["Type:", "labtune run", "Done."]


def test_html_page_keeps_only_its_words() -> None:
    converted = read_html(
        "<html><head><title>T &amp; T - Wikipedia</title><style>p{}</style></head><body>"
        "<nav><ul><li>Home</li></ul></nav><div role='navigation'><p>menu</p></div>"
        "<script>if (a<b) x()</script>"
        "<h1>Big</h1><p>Para <b>bold</b><sup class='reference'>[1]</sup> text.<p>Next<br>line."
        "<dl><dt>Term</dt><dd>Meaning of it</dd></dl><ul><li>one<ul><li>sub</li></ul><li>two</ul>"
        "<footer>Copyright</footer></body></html>"
    )
    assert converted.title == "T & T"
    assert converted.blocks == [
        HeadingBlock(1, "Big"),
        ParagraphBlock("Para bold text."),
        ParagraphBlock("Next line."),
        ItemBlock("Term: Meaning of it", True),
        ItemBlock("one", True),
        ItemBlock("sub", True),
        ItemBlock("two"),
    ]
    assert converted.losses["navigation"] == 3
    assert converted.losses["footnote"] == 1


def test_html_table_spans_fill_the_grid() -> None:
    converted = read_html(
        "<table><caption>Lights</caption><thead><tr><th rowspan=2>Light</th><th colspan=2>Meaning</th></tr>"
        "<tr><th>day</th><th>night</th></tr></thead><tbody>"
        "<tr><td rowspan='2'>blue</td><td>a</td><td>b</td></tr>"
        "<tr><td colspan=2>c</td></tr></tbody></table>"
    )
    assert converted.blocks == [
        ParagraphBlock("Lights"),
        TableBlock(
            (
                ("Light", "Meaning", "Meaning"),
                ("Light", "day", "night"),
                ("blue", "a", "b"),
                ("blue", "c", "c"),
            ),
            2,
        ),
    ]


def test_key_value_table_has_no_header_row() -> None:
    table = read_html("<table><tr><th>Born</th><td>1996</td></tr><tr><th>Died</th><td>2003</td></tr></table>")
    assert table.blocks == [TableBlock((("Born", "1996"), ("Died", "2003")), 0)]


def test_hostile_spans_cost_nothing() -> None:
    table = read_html("<table><tr><td colspan=99999999 rowspan=9999999>x</td><td>y</td></tr></table>")
    assert table.blocks == [TableBlock((("x", "y"),), None)]


def test_comments_closed_or_not() -> None:
    assert words("a <!-- b\n\nc --> d <!-- e") == ["a d e"]
    assert read_html("<p>a<!-- <p>x --> b<!-- c").blocks == [ParagraphBlock("a b c")]


def test_deep_nesting_is_read() -> None:
    converted = read_html("<div>" * 5000 + "deep" + "</div>" * 5000)
    assert converted.blocks == [ParagraphBlock("deep")]


def test_clean_text_counts_what_it_drops() -> None:
    losses: Counter[str] = Counter()
    assert clean_text("A[1] b[2, 3] c.[a] IPA [mǔː] ()", losses) == "A b c. IPA [mǔː]"
    assert losses == Counter({"footnote": 3, "gap": 1})

import pytest

from labtune.documents.blocks import HeadingBlock, ItemBlock, PageBlock, ParagraphBlock
from labtune.documents.pdf import join_hyphenated, read_pages

FULL = "A line of running prose is about as long as this one here,"


@pytest.mark.parametrize(
    ("left", "right", "known", "joined"),
    [
        ("bear", "ings", {"bearings"}, "bearings"),
        ("bear", "ings", set(), "bearings"),
        ("five", "minute", set(), "five-minute"),
        ("B", "type", set(), "B-type"),
        ("self", "test", set(), "self-test"),
        ("film", "base", {"film-base"}, "film-base"),
        ("film", "base", {"film", "base"}, "film-base"),
        ("Anglo", "Saxon", set(), "Anglo-Saxon"),
    ],
)
def test_hyphens_at_line_ends(left: str, right: str, known: set[str], joined: str) -> None:
    assert join_hyphenated(left, right, frozenset(known)) == joined


def test_furniture_goes_and_is_counted() -> None:
    bodies = [f"{FULL}\nwords.", f"Here {FULL}\nand words.", f"There {FULL}\nor words."]
    pages = [f"Manual 2024\n{body}\n- {number} -" for number, body in enumerate(bodies, 1)]
    converted = read_pages(pages, "")
    texts = [block.text for block in converted.blocks if isinstance(block, ParagraphBlock)]
    assert texts == [body.replace("\n", " ") for body in bodies]
    assert converted.losses["furniture"] == 6
    assert sum(isinstance(block, PageBlock) for block in converted.blocks) == 3


def test_bullets_numbers_and_headings() -> None:
    converted = read_pages(
        [
            f"Chapter 2 Daily use\n{FULL}\nand it ends.\n• press the\nbutton\n"
            f"• wait\n1.2 Cleaning\n{FULL}\nso."
        ],
        "",
    )
    assert converted.blocks == [
        PageBlock(),
        HeadingBlock(1, "Chapter 2 Daily use"),
        ParagraphBlock(f"{FULL} and it ends."),
        ItemBlock("press the button", True),
        ItemBlock("wait"),
        HeadingBlock(2, "1.2 Cleaning"),
        ParagraphBlock(f"{FULL} so."),
    ]


def test_a_title_drawn_at_the_page_end_does_not_enter_the_sentence() -> None:
    converted = read_pages(
        [
            f"{FULL}\nwhich the visitors have harassed, and woken by\nOnline popularity",
            f"water. {FULL}\nend.",
        ],
        "",
    )
    paragraph = converted.blocks[1]
    assert isinstance(paragraph, ParagraphBlock)
    assert "woken by water." in paragraph.text
    assert paragraph.text[paragraph.page_breaks[0] :].startswith("water.")
    assert converted.losses["stray_title"] == 1


def test_sources_and_reference_marks_go() -> None:
    sources = '1. "Zoo" (https://a.b/c). Retrieved 3 May 2024.\n2. Book, doi:10.1/2.'
    page = f"{FULL}\nend.[12]\n[13] {FULL}\nmore.\n{sources}"
    converted = read_pages([page], "")
    assert [b.text for b in converted.blocks if isinstance(b, ParagraphBlock)] == [
        f"{FULL} end.",
        f"{FULL} more.",
    ]
    assert converted.losses["source_line"] == 2
    assert converted.losses["footnote"] == 2


def test_rows_of_an_unread_table_stay_apart() -> None:
    converted = read_pages([f"{FULL}\nthis is it.\nLid 1.5 10\nBox 2.5 20\nPin 3.5 30\n{FULL}\nend."], "")
    texts = [block.text for block in converted.blocks if isinstance(block, ParagraphBlock)]
    assert texts == [f"{FULL} this is it.", "Lid 1.5 10", "Box 2.5 20", "Pin 3.5 30", f"{FULL} end."]
    assert converted.losses["table_row"] == 3


def test_chinese_lines_join_without_blanks_even_over_pages() -> None:
    converted = read_pages(
        ["这是一行很长的中文文字没有在这里结束\n而是在下一行继续直到页面的最后", "才在这里结束。"], ""
    )
    paragraph = converted.blocks[1]
    assert isinstance(paragraph, ParagraphBlock)
    assert (
        paragraph.text == "这是一行很长的中文文字没有在这里结束而是在下一行继续直到页面的最后才在这里结束。"
    )
    assert paragraph.text[paragraph.page_breaks[0] :] == "才在这里结束。"


def test_blank_pages_are_counted_and_keep_page_numbers() -> None:
    converted = read_pages([f"{FULL}\nend.", "", f"{FULL}\nend two."], "")
    assert converted.losses["blank_page"] == 1
    assert sum(isinstance(block, PageBlock) for block in converted.blocks) == 3

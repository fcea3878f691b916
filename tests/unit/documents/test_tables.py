from collections import Counter

import pytest

from labtune.documents.blocks import TableBlock
from labtune.documents.tables import table_statements


def sentences(rows: list[list[str]], language: str = "en", header_rows: int | None = None) -> list[str]:
    table = TableBlock(tuple(map(tuple, rows)), header_rows)
    return [cell.sentence for cell in table_statements(table, language, Counter())]


def test_one_sentence_per_cell() -> None:
    rows = [["Light", "Meaning", "what to do"], ["steady blue", "ready", "Nothing."], ["red", "", "call us"]]
    assert sentences(rows) == [
        "Meaning of steady blue: ready.",
        "Steady blue, what to do: Nothing.",
        "Red, what to do: call us.",
    ]


def test_chinese_and_japanese_wording() -> None:
    assert sentences([["指示灯", "含义"], ["常亮蓝色", "就绪"]], "zh") == ["常亮蓝色的含义是就绪。"]
    assert sentences([["表示灯", "意味"], ["青色", "準備完了"]], "ja") == ["青色の意味は準備完了。"]


@pytest.mark.parametrize(
    ("header", "value", "expected"),
    [
        ("Weight (kg)", "2.5", "Weight of Lid: 2.5 kg."),
        ("Price (€)", "12.50", "Price of Lid: 12.50 €."),
        ("Share [%]", "40", "Share of Lid: 40%."),
        ("Range (km/h)", "10–20", "Range of Lid: 10–20 km/h."),
        ("Weight (kg)", "none", "Weight (kg) of Lid: none."),
        ("Colour (old)", "7", "Colour (old) of Lid: 7."),
    ],
)
def test_units_of_a_header_go_to_the_number(header: str, value: str, expected: str) -> None:
    assert sentences([["Part", header], ["Lid", value]]) == [expected]


def test_chinese_units() -> None:
    assert sentences([["部件", "重量（公斤）"], ["泵", "3"]], "zh") == ["泵的重量是3公斤。"]


def test_statement_carries_row_column_and_value() -> None:
    cell = table_statements(TableBlock((("Part", "Weight (kg)"), ("Lid", "2")), 1), "en", Counter())[0]
    assert (cell.row, cell.column, cell.value) == ("Lid", "Weight", "2 kg")


def test_a_counting_column_does_not_name_rows() -> None:
    assert sentences([["No.", "Part", "Use"], ["1", "Lid", "closes"]]) == ["Use of Lid: closes."]


def test_names_that_repeat_take_the_next_column_in() -> None:
    rows = [["Model", "Size", "Price"], ["Pump", "small", "3"], ["Pump", "large", "5"]]
    assert sentences(rows) == ["Price of Pump, small: 3.", "Price of Pump, large: 5."]


def test_table_without_header() -> None:
    assert sentences([["", ""], ["Weight", "2 kg"]], header_rows=1) == ["Weight: 2 kg."]
    assert sentences([["Weight", "2 kg"], ["Height", "30 cm"]]) == ["Weight: 2 kg.", "Height: 30 cm."]
    losses: Counter[str] = Counter()
    cells = table_statements(TableBlock((("a", "b", "c"),), 0), "en", losses)
    assert [cell.sentence for cell in cells] == ["a: b, c."]
    assert losses["unnamed_columns"] == 1


def test_row_without_name_and_row_across_all_columns() -> None:
    losses: Counter[str] = Counter()
    rows = (("Part", "Price", "Stock"), ("Old", "Old", "Old"), ("", "4", "9"))
    cells = table_statements(TableBlock(rows, 1), "en", losses)
    assert [cell.sentence for cell in cells] == ["Old.", "Price: 4.", "Stock: 9."]
    assert losses["unnamed_row"] == 1


def test_two_header_rows_are_joined() -> None:
    rows = [["Light", "Meaning", "Meaning"], ["Light", "day", "night"], ["blue", "go", "stop"]]
    assert sentences(rows, header_rows=2) == ["Meaning day of blue: go.", "Meaning night of blue: stop."]


def test_dates_lose_their_midnight() -> None:
    assert sentences([["Item", "Date"], ["Pump", "2020-01-02 00:00:00"]]) == ["Date of Pump: 2020-01-02."]

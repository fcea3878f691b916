"""Tables to statements: one sentence per cell that names row, column and value.

The wording is chosen to hold for any header, be it a noun, a question or a unit: English "Meaning of steady
blue: ready.", Chinese "常亮蓝色的含义是就绪。", Japanese "青色の意味は準備完了。".
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from labtune.documents.blocks import Grid, TableBlock

_NUMBER = re.compile(r"[-+−±~≈<>≤≥]?\s?\d[\d.,\s/–-]*")
_WITH_UNIT = re.compile(r"^(.+?)\s*[(（\[]\s*([^()（）\[\]]{1,12})\s*[)）\]]$")
_UNIT = re.compile(
    r"(?:[pnµμmckMGT]?(?:m|g|s|l|L|W|V|A|Hz|B|J|N|Pa|bar|mol|Ω)[²³23]?|°[CF]?|K|%|‰|€|\$|£|¥|t|h|min|d|in|ft|lb|oz|mi|"
    r"mph|dB|rpm|kWh|Wh|mAh|Ah|k?cal|(?:k?m|mi)/h|m/s|[mµ]?g/[dm]?[lL]|mmol/[lL]|mmHg|"
    r"seconds?|minutes?|hours?|days?|weeks?|months?|years?|EUR|USD|GBP|CNY|"
    r"公斤|千克|克|毫克|微克|吨|米|厘米|毫米|公里|千米|升|毫升|元|秒|分钟?|小时|天|日|周|月|年|岁|次|人|度|万|亿)"
)
_ORDINAL_HEADER = re.compile(r"(?:#|№|no\.?|nr\.?|number|index|序号|编号|番号)", re.I)
_NO_NOUN = re.compile(
    r"(?:what|how|when|where|why|who|which|whether|if)\b|.+\s(?:of|for|in|by|at|on|to|from|with|as)$", re.I
)
_MIDNIGHT = re.compile(r"(\d{4}-\d{2}-\d{2}) 00:00:00")
_END = (".", "!", "?", "。", "！", "？", "…")


@dataclass(frozen=True, slots=True)
class Cell:
    """A statement before it has a place in a text."""

    sentence: str
    row: str
    column: str
    value: str


def table_statements(table: TableBlock, language: str, losses: Counter[str]) -> list[Cell]:
    """The statements of a table, row by row; rows without a name are counted in `losses`.

    A row's name is its first cell, unless that column only counts rows (then the second); names that are
    not unique are made so by the next column.
    """
    rows = tuple(tuple(_MIDNIGHT.sub(r"\1", cell.strip()) for cell in row) for row in table.rows)
    if not any(map(any, rows)):
        return []
    n_headers = min(_count_headers(table, rows), len(rows))
    headers = _join_headers(rows[:n_headers], len(rows[0]))
    body = tuple(row for row in rows[n_headers:] if any(row))
    if not any(headers):
        return _headless(body, language, losses)
    if not body:
        return [_line(cell, language) for cell in headers if cell]
    keys = _key_columns(headers, body)
    cells: list[Cell] = []
    for row in body:
        if len(row) > 1 and len({cell for cell in row if cell}) == 1 and all(row):
            cells.append(_line(row[0], language))
            continue
        name = _join_keys([row[key] for key in keys])
        values = [(headers[i], cell) for i, cell in enumerate(row) if cell and i > keys[0] and i not in keys]
        if not name and values:
            losses["unnamed_row"] += 1
        if name and not values:
            cells.append(_line(name, language))
        cells += [_statement(name, column, value, language) for column, value in values]
    return cells


def _count_headers(table: TableBlock, rows: Grid) -> int:
    if table.header_rows is not None:
        return table.header_rows
    first = rows[0]
    if len(rows) == 1 or not all(first) or len(set(first)) < len(first):
        return 1 if len(rows) > 1 and sum(map(bool, first)) > 1 and not any(map(_is_number, first)) else 0
    return 0 if any(re.search(r"\d", cell) and _is_number(cell.split()[0]) for cell in first) else 1


def _is_number(text: str) -> bool:
    return bool(_NUMBER.fullmatch(text))


def _join_headers(rows: Grid, width: int) -> list[str]:
    headers = []
    for column in range(width):
        parts: list[str] = []
        for row in rows:
            if row[column] and row[column] not in parts:
                parts.append(row[column])
        headers.append(" ".join(parts))
    return headers


def _key_columns(headers: list[str], body: Grid) -> list[int]:
    """The columns whose words name a row."""
    start = 0
    if len(headers) > 2 and _ORDINAL_HEADER.fullmatch(headers[0]):
        start = 1
    keys = [start]
    for column in range(start + 1, len(headers) - 1):
        names = [tuple(row[key] for key in keys) for row in body]
        if len(set(names)) == len(names) or any(_is_number(row[column]) for row in body):
            break
        keys.append(column)
    names = [tuple(row[key] for key in keys) for row in body]
    return keys if len(set(names)) == len(names) else [start]


def _join_keys(parts: list[str]) -> str:
    named = list(dict.fromkeys(part.rstrip(":：") for part in parts if part))
    return ", ".join(named)


def _headless(rows: Grid, language: str, losses: Counter[str]) -> list[Cell]:
    """Rows that no header explains: two columns are a name and its value, more are one line a row."""
    cells = []
    if rows and len(rows[0]) > 2:
        losses["unnamed_columns"] += 1
    for row in rows:
        name, values = row[0].rstrip(":："), [cell for cell in row[1:] if cell]
        if not values:
            cells.append(_line(name, language))
        else:
            separator = "、" if language in ("zh", "ja") else ", "
            cells.append(_statement(name, "", separator.join(values), language))
    return cells


def _line(text: str, language: str) -> Cell:
    return Cell(_closed(text, language), "", "", text)


def _statement(row: str, column: str, value: str, language: str) -> Cell:
    column = column.rstrip(":：")
    if (match := _WITH_UNIT.match(column)) and _UNIT.fullmatch(match.group(2)) and _is_number(value):
        column = match.group(1)
        unit = match.group(2)
        tight = unit in ("%", "‰", "°") or (language in ("zh", "ja") and not unit.isascii())
        value = f"{value}{'' if tight else ' '}{unit}"
    if language in ("zh", "ja") and (row or column):
        link, verb = ("的", "是") if language == "zh" else ("の", "は")
        subject = f"{row}{link}{column}" if row and column else row or column
        return Cell(_closed(f"{subject}{verb}{value}", language), row, column, value)
    subject = _subject(row, column)
    sentence = f"{subject}: {value}" if subject else value
    return Cell(_closed(sentence, language), row, column, value)


def _subject(row: str, column: str) -> str:
    """What is stated: "Price of Lid", but "Lid, used for" when the header is no noun ("What to do")."""
    if not (row and column):
        return row or column
    if _NO_NOUN.match(column):
        return f"{_capital(row)}, {column[:1].lower()}{column[1:]}"
    return f"{_capital(column)} of {row}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _closed(sentence: str, language: str) -> str:
    if sentence.rstrip("\"'”’」』)）").endswith(_END):
        return sentence
    return sentence + ("。" if language in ("zh", "ja") else ".")

"""Building a rectangular table from cells with row and column spans."""

from __future__ import annotations

from labtune.documents.blocks import Grid

_LARGEST_SPAN = 1000


class GridBuilder:
    """Receives an HTML table's events; spans are filled with the cell's text."""

    def __init__(self) -> None:
        self.caption = ""
        self.in_caption = False
        self._cells: dict[tuple[int, int], str] = {}
        self._row = -1
        self._column = 0
        self._open: tuple[int, int] | None = None
        self._n_cells = 0
        self._heads: dict[int, list[bool]] = {}
        self._in_head = False
        self._head_rows: set[int] = set()

    def open_head(self) -> None:
        """`<thead>`: the rows that follow name the columns."""
        self._in_head = True

    def close_head(self) -> None:
        """The head ends."""
        self._in_head = False

    def open_row(self) -> None:
        """`<tr>`."""
        self._row += 1
        self._column = 0
        if self._in_head:
            self._head_rows.add(self._row)

    def open_cell(self, is_head: bool, rowspan: str | None, colspan: str | None) -> None:
        """`<td>` or `<th>`; a cell outside any row opens one."""
        if self._row < 0:
            self.open_row()
        while (self._row, self._column) in self._cells:
            self._column += 1
        self._open = (_span(rowspan), _span(colspan))
        self._heads.setdefault(self._row, []).append(is_head)

    def close_cell(self, text: str) -> bool:
        """Fill the open cell; False when none is open (words between cells)."""
        if self._open is None:
            return False
        rows, columns = self._open
        self._open = None
        # A hostile span must not cost memory: only the cell itself is kept beyond the bound.
        if rows * columns > _LARGEST_SPAN:
            rows = columns = 1
        for row in range(self._row, self._row + rows):
            for column in range(self._column, self._column + columns):
                self._cells.setdefault((row, column), text)
        self._column += columns
        return True

    def rows(self) -> Grid:
        """The grid, empty rows left out; a row span that outlives the table is cut."""
        n_rows = self._row + 1
        width = 1 + max((column for row, column in self._cells if row < n_rows), default=-1)
        grid = (tuple(self._cells.get((row, column), "") for column in range(width)) for row in range(n_rows))
        return tuple(row for row in grid if any(row))

    def header_rows(self) -> int | None:
        """How many leading rows name columns; 0 when only the first column holds `<th>`; None if unknown."""
        if not any(any(flags) for flags in self._heads.values()) and not self._head_rows:
            return None
        count = 0
        for row in range(self._row + 1):
            texts = [self._cells.get((row, column), "") for column in range(len(self._heads.get(row, [])))]
            if row in self._head_rows or all(self._heads.get(row, [False])):
                count += 1 if any(texts) else 0
            else:
                break
        return count


def _span(value: str | None) -> int:
    return (
        min(int(value), _LARGEST_SPAN)
        if value and value.isascii() and value.isdigit() and value != "0"
        else 1
    )

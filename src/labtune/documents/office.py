"""Office files and text PDFs, by kreuzberg.

Its document structure is used instead of its Markdown, which would have to be parsed again and loses escapes.
For PDFs its raw page lines are used: its headings of PDFs are font clusters that often take body lines.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from labtune.documents.blocks import (
    Block,
    Converted,
    HeadingBlock,
    ItemBlock,
    PageBlock,
    ParagraphBlock,
    TableBlock,
)
from labtune.documents.clean import break_lines, clean_text, without_site
from labtune.documents.pdf import read_pages
from labtune.errors import DocumentError, EngineError, MissingDependencyError

_LARGEST_UNPACKED = 512 * 1024 * 1024
_TIMEOUT_S = 300
_OFFICE = "application/vnd.openxmlformats-officedocument"
_MIME = {
    ".docx": f"{_OFFICE}.wordprocessingml.document",
    ".pptx": f"{_OFFICE}.presentationml.presentation",
    ".xlsx": f"{_OFFICE}.spreadsheetml.sheet",
    ".pdf": "application/pdf",
}
_NO_TITLE = re.compile(
    r"untitled|\(?unspecified\)?|\(?anonymous\)?|powerpoint presentation|microsoft word\b.*"
    r"|.*\.(?:docx?|pdf|pptx?|xlsx?|indd|tex)",
    re.I,
)
# kreuzberg 4.10 drops the XML entities &amp; &lt; &gt; from the runs of a DOCX ("R&D" -> "RD"). They are
# carried through as private-use characters.
_ENTITIES = {b"&amp;": "\ue0a6", b"&lt;": "\ue0bc", b"&gt;": "\ue0be"}
_RESTORE = str.maketrans({"\ue0a6": "&", "\ue0bc": "<", "\ue0be": ">"})


class KreuzbergConverter:
    """DOCX, PPTX, XLSX and PDF with a text layer, by kreuzberg; no OCR, no network."""

    suffixes = frozenset(_MIME)

    def read(self, data: bytes, *, suffix: str, name: str) -> Converted:
        """Convert; see `Converter.read`."""
        if suffix == ".pdf":
            return self._pdf(data, name)
        _check_package(data, suffix, name)
        result = _extract(_carry_entities(data) if suffix == ".docx" else data, suffix, name)
        reader = _NodeReader()
        reader.read(result["nodes"])
        if suffix == ".pptx":
            reader.losses["notes"] += _count_notes(data)
            _number_slides(reader.blocks, result["n_pages"])
        return Converted(_MIME[suffix], _own_title(result["title"]), reader.blocks, reader.losses)

    def _pdf(self, data: bytes, name: str) -> Converted:
        if b"%PDF-" not in data[:1024]:
            raise DocumentError(
                f"{name} is not a PDF file", hint="give the file its right suffix or leave it out"
            )
        result = _extract(data, ".pdf", name)
        pages: list[str] = result["pages"]
        if not any(page.strip() for page in pages):
            raise DocumentError(
                f"{name} has no text layer ({len(pages)} scanned or empty page{'s' * (len(pages) > 1)})",
                hint="run OCR over it first, for example: ocrmypdf in.pdf out.pdf",
            )
        return read_pages(pages, _own_title(result["title"]))


def _extract(data: bytes, suffix: str, name: str) -> dict[str, Any]:
    """Run `extract.py` on the bytes; its failures, kreuzberg's and a dead process become DocumentError."""
    command = [sys.executable, "-P", str(Path(__file__).with_name("extract.py")), _MIME[suffix]]
    mend = "open and save it again in its own program, or convert it to Markdown"
    try:
        child = subprocess.run(command, input=data, capture_output=True, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise DocumentError(f"{name} took more than {_TIMEOUT_S} s to convert", hint="split it") from error
    except OSError as error:
        raise EngineError(f"the converter of documents cannot be started: {error}") from error
    if child.returncode != 0:
        lines = child.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        if "No module named" in lines[-1]:
            raise MissingDependencyError(f"reading {name} needs kreuzberg", hint="pip install kreuzberg")
        reason = f"the converter died (status {child.returncode}): {lines[-1][:200]}"
        raise DocumentError(f"{name} cannot be read: {reason}", hint=mend)
    result: dict[str, Any] = json.loads(child.stdout)
    if failure := result.get("error"):
        reason = str(failure)
        if "password" in reason.lower() or "encrypt" in reason.lower():
            raise DocumentError(f"{name} is encrypted", hint="save a copy without a password")
        raise DocumentError(f"{name} cannot be read: {reason[:200]}", hint=mend)
    return result


def _check_package(data: bytes, suffix: str, name: str) -> None:
    """Office files are ZIP packages; refuse what is not one, or what unpacks to too much."""
    if data.startswith(b"\xd0\xcf\x11\xe0"):
        raise DocumentError(
            f"{name} is encrypted, or an old Office file with a new suffix",
            hint=f"open it in its program and save it without a password as {suffix}",
        )
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as package:
            names = set(package.namelist())
            unpacked = sum(entry.file_size for entry in package.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, EOFError) as error:
        raise DocumentError(
            f"{name} is not a {suffix} file or is damaged", hint="open and save it again in its own program"
        ) from error
    main = {".docx": "word/document.xml", ".pptx": "ppt/presentation.xml", ".xlsx": "xl/workbook.xml"}[suffix]
    if main not in names:
        raise DocumentError(
            f"{name} is not a {suffix} file: {main} is missing", hint="give the file its right suffix"
        )
    if unpacked > _LARGEST_UNPACKED:
        raise DocumentError(
            f"{name} unpacks to {unpacked >> 20} MiB, more than {_LARGEST_UNPACKED >> 20} MiB",
            hint="split the document or take out its pictures",
        )


def _carry_entities(data: bytes) -> bytes:
    source = io.BytesIO(data)
    target = io.BytesIO()
    try:
        with zipfile.ZipFile(source) as package, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as copy:
            for entry in package.infolist():
                content = package.read(entry)
                if entry.filename.startswith("word/") and entry.filename.endswith(".xml"):
                    content = re.sub(rb">[^<]*&(?:amp|lt|gt);[^<]*<", _mask, content)
                copy.writestr(entry.filename, content)
    except (zipfile.BadZipFile, zlib.error, RuntimeError, ValueError, OSError, EOFError, KeyError):
        return data  # damaged inside: kreuzberg says what is wrong
    return target.getvalue()


def _mask(match: re.Match[bytes]) -> bytes:
    text = match.group()
    for entity, stand_in in _ENTITIES.items():
        text = text.replace(entity, stand_in.encode())
    return text


def _own_title(title: str) -> str:
    title = without_site(" ".join(title.split()))
    return "" if _NO_TITLE.fullmatch(title) else title


def _count_notes(data: bytes) -> int:
    with zipfile.ZipFile(io.BytesIO(data)) as package:
        return sum(name.startswith("ppt/notesSlides/notesSlide") for name in package.namelist())


def _number_slides(blocks: list[Block], n_slides: int | None) -> None:
    """Put a page before each slide's heading, when every slide has exactly one (else pages are unknown)."""
    headings = [index for index, block in enumerate(blocks) if isinstance(block, HeadingBlock)]
    if headings and len(headings) == n_slides and headings[0] == 0:
        for index in reversed(headings):
            blocks.insert(index, PageBlock())


class _NodeReader:
    """Walks kreuzberg's flat list of nodes."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.losses: Counter[str] = Counter()
        self._list: object = None

    def read(self, nodes: Iterable[Mapping[str, Any]]) -> None:
        """Append the blocks of all nodes."""
        for node in nodes:
            content = node["content"]
            kind = content["node_type"]
            layer = node.get("content_layer") or "body"
            if layer in ("header", "footer"):
                self.losses["page_header"] += 1
            elif layer == "footnote" or kind in ("footnote", "citation"):
                self.losses["footnote"] += 1
            elif kind == "table":
                self._table(content)
            elif kind == "image":
                self.losses["image"] += 1
            elif kind == "formula":
                self.losses["formula"] += 1
            elif kind not in ("group", "list", "page_break", "metadata_block", "slide"):
                self._words(kind, content, node.get("parent"))

    def _words(self, kind: str, content: Mapping[str, Any], parent: object) -> None:
        raw = str(content.get("text") or "").translate(_RESTORE)
        raw, images = re.subn(r"!\[[^\]\n]*\]\([^)\n]*\)", "", raw)
        self.losses["image"] += images
        if kind == "code" and len(raw.splitlines()) > 1:
            self.losses["code"] += 1
            return
        for line in break_lines(raw.replace("\r", "\n").replace("\n", "\x0b")):
            text = clean_text(line, self.losses)
            if not text:
                continue
            if kind == "list_item":
                self.blocks.append(ItemBlock(text, first=parent != self._list))
                self._list = parent
            elif kind in ("heading", "title") and len(text) <= 120 and not text.endswith((".", "。")):
                self.blocks.append(HeadingBlock(int(content.get("level") or 1), text))
            else:
                self.blocks.append(ParagraphBlock(text))

    def _table(self, content: Mapping[str, Any]) -> None:
        grid = content["grid"]
        rows = [["" for _ in range(grid["cols"])] for _ in range(grid["rows"])]
        for cell in grid["cells"]:
            if cell["row"] < len(rows) and cell["col"] < grid["cols"]:
                text = str(cell["content"]).translate(_RESTORE)
                rows[cell["row"]][cell["col"]] = clean_text(text, self.losses)
        self.blocks += sheet_blocks(rows)


def sheet_blocks(rows: list[list[str]]) -> list[Block]:
    """A sheet or table: blank rows part tables, rows with one cell before a table are words about it."""
    blocks: list[Block] = []
    part: list[tuple[str, ...]] = []
    for row in [*rows, []]:
        if any(row):
            if not part and len(row) > 1 and sum(map(bool, row)) == 1:
                blocks.append(ParagraphBlock(next(filter(None, row))))
            else:
                part.append(tuple(row))
        elif part:
            used = [column for column in range(len(part[0])) if any(line[column] for line in part)]
            narrow = tuple(tuple(line[column] for column in used) for line in part)
            if len(used) == 1:
                blocks += [ItemBlock(line[0], index == 0) for index, line in enumerate(narrow)]
            else:
                blocks.append(TableBlock(narrow))
            part = []
    return blocks

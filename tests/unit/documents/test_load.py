import io
import zipfile
from pathlib import Path

import docx
import openpyxl
import pptx
import pytest
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pptx.util import Inches
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen import canvas

from labtune.documents.blocks import Converted, ParagraphBlock
from labtune.documents.chunk import chunk_document
from labtune.documents.convert import TextConverter
from labtune.documents.load import load_document, supported_suffixes
from labtune.documents.office import KreuzbergConverter
from labtune.errors import DocumentError
from labtune.types import Document


def load(path: Path) -> Document:
    return load_document(path, uri=path.name)


def statements(document: Document) -> list[str]:
    return [document.text[s.start : s.end] for s in document.statements]


def add_list_item(document: docx.document.Document, text: str) -> None:
    properties = document.add_paragraph(text)._p.get_or_add_pPr()
    numbering = OxmlElement("w:numPr")
    for tag, value in (("w:ilvl", "0"), ("w:numId", "1")):
        element = OxmlElement(tag)
        element.set(qn("w:val"), value)
        numbering.append(element)
    properties.append(numbering)


def test_docx(tmp_path: Path) -> None:
    document = docx.Document()
    document.core_properties.title = "Fan manual"
    document.add_heading("Lights", 1)
    document.add_paragraph("R&D says: A < B and B > C. It’s “quoted”.")
    document.add_paragraph("The light tells:")
    add_list_item(document, "blue is ready")
    add_list_item(document, "red is an error")
    table = document.add_table(3, 2)
    for row, cells in enumerate((("Light", "Meaning"), ("blue", "ready & up"), ("red | hot", "error"))):
        for column, text in enumerate(cells):
            table.cell(row, column).text = text
    document.add_heading("Care & repair", 2)
    document.add_paragraph("Keep it dry.")
    document.sections[0].header.paragraphs[0].text = "Confidential"
    document.save(tmp_path / "fan.docx")
    loaded = load(tmp_path / "fan.docx")
    assert loaded.text == (
        "R&D says: A < B and B > C. It’s “quoted”.\n\n"
        "The light tells:\nblue is ready\nred is an error\n\n"
        "Meaning of blue: ready & up.\nMeaning of red | hot: error.\n\n"
        "Keep it dry."
    )
    assert loaded.title == "Lights"
    assert [(h.level, h.title) for h in loaded.headings] == [(1, "Lights"), (2, "Care & repair")]
    assert loaded.losses == ("1 page header or footer was left out.",)


def test_docx_chinese_with_merged_cells(tmp_path: Path) -> None:
    document = docx.Document()
    document.add_heading("门诊指南", 1)
    document.add_paragraph("请提前十分钟到达。带好身份证！")
    table = document.add_table(3, 2)
    table.cell(0, 0).text, table.cell(0, 1).text = "科室", "时间"
    table.cell(1, 0).text = "内科"
    table.cell(1, 0).merge(table.cell(2, 0))
    table.cell(1, 1).text, table.cell(2, 1).text = "上午八点", "下午两点"
    document.save(tmp_path / "clinic.docx")
    loaded = load(tmp_path / "clinic.docx")
    assert loaded.language == "zh"
    assert statements(loaded) == ["内科的时间是上午八点。", "内科的时间是下午两点。"]
    chunks = chunk_document(loaded, leaf="l", max_tokens=100)
    assert [loaded.text[a:b] for a, b in chunks[0].sentences] == [
        "请提前十分钟到达。",
        "带好身份证！",
        *statements(loaded),
    ]


def test_pptx(tmp_path: Path) -> None:
    deck = pptx.Presentation()
    first = deck.slides.add_slide(deck.slide_layouts[1])
    first.shapes.title.text = "R&D <plan>"
    first.placeholders[1].text = "Point A & B.\nPoint C"
    second = deck.slides.add_slide(deck.slide_layouts[5])
    second.shapes.title.text = "Parts"
    table = second.shapes.add_table(2, 2, Inches(1), Inches(2), Inches(4), Inches(1)).table
    for row, cells in enumerate((("Part", "Weight (kg)"), ("Lid", "2.5"))):
        for column, text in enumerate(cells):
            table.cell(row, column).text = text
    second.notes_slide.notes_text_frame.text = "Say hello."
    deck.save(tmp_path / "deck.pptx")
    loaded = load(tmp_path / "deck.pptx")
    assert loaded.text == "Point A & B.\n\nPoint C\n\nWeight of Lid: 2.5 kg."
    assert [h.title for h in loaded.headings] == ["R&D <plan>", "Parts"]
    assert loaded.page_starts == (0, loaded.text.index("Weight"))
    assert [c.page for c in chunk_document(loaded, leaf="l", max_tokens=50)] == [1, 2]
    assert loaded.losses == ("The speaker notes of 1 slide were left out.",)


def test_xlsx(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Prices"
    for row in (
        ["Prices of 2024"],
        [],
        ["Item", "Price (€)", "Date"],
        ["Pump", 12.5, None],
        ["Valve", 3, "May"],
    ):
        sheet.append(row)
    other = book.create_sheet("重量")
    other.append(["名称", "重量"])
    other.append(["泵", "3 公斤"])
    book.create_sheet("Empty")
    book.save(tmp_path / "prices.xlsx")
    loaded = load(tmp_path / "prices.xlsx")
    assert statements(loaded) == [
        "Price of Pump: 12.5 €.",
        "Price of Valve: 3 €.",
        "Date of Valve: May.",
        "泵的重量是3 公斤。",
    ]
    assert loaded.text.startswith("Prices of 2024\n\n")
    assert [h.title for h in loaded.headings] == ["Prices", "重量"]


def test_html_chinese(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(
        "<html><head><title>指南</title></head><body><h2>挂号</h2><p>请在<b>一楼</b>挂号。\n费用是20元。</p>"
        "<table><tr><th>科室</th><th>楼层</th></tr><tr><td>内科</td><td>三楼</td></tr></table></body></html>",
        encoding="utf-8",
    )
    loaded = load(path)
    assert (loaded.title, loaded.language) == ("指南", "zh")
    assert loaded.text == "请在一楼挂号。费用是20元。\n\n内科的楼层是三楼。"


def test_plain_text(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(b"A wrapped\r\nparagraph.\r\n\r\nThings:\r\n- one\r\n- two\r\n\r\n*stars* stay")
    assert load(path).text == "A wrapped paragraph.\n\nThings:\none\ntwo\n\n*stars* stay"


@pytest.mark.parametrize(
    ("data", "text", "remark"),
    [
        ("\ufeffHello there.".encode(), "Hello there.", ()),
        ("Hello there.".encode("utf-16"), "Hello there.", ("The file is UTF-16, not UTF-8.",)),
        (
            "这是一个关于医院门诊的说明。".encode("gb18030"),
            "这是一个关于医院门诊的说明。",
            ("The file is not UTF-8; it was read as GB18030.",),
        ),
        (
            "Der Bär läuft schön über Öl.".encode("cp1252"),
            "Der Bär läuft schön über Öl.",
            ("The file is not UTF-8; it was read as Windows-1252.",),
        ),
    ],
)
def test_encodings(tmp_path: Path, data: bytes, text: str, remark: tuple[str, ...]) -> None:
    path = tmp_path / "x.md"
    path.write_bytes(data)
    loaded = load(path)
    assert (loaded.text, loaded.losses) == (text, remark)


def write_pdf(path: Path, pages: list[list[str]], encryption: StandardEncryption | None = None) -> None:
    pdf = canvas.Canvas(str(path), encrypt=encryption)
    for lines in pages:
        for number, line in enumerate(lines):
            pdf.drawString(50, 780 - 14 * number, line)
        pdf.showPage()
    pdf.save()


def test_pdf_prose_over_pages(tmp_path: Path) -> None:
    footer = "Fan manual, edition 3"
    write_pdf(
        tmp_path / "fan.pdf",
        [
            [
                footer,
                "1 Safety",
                "The fan has a motor that runs for two thousand hours before it has to",
                "be oiled. Use only the oil that the maker of the fan names, because any other",
                "one ruins its bear-",
                "ings. After that it must be",
                "Page 1 of 2",
            ],
            [
                footer,
                "cleaned by a person who has read this whole manual with very great care.",
                "2 Repair",
                "Send the fan back to the shop in which you bought it and add the bill to it.",
                "Page 2 of 2",
            ],
        ],
    )
    loaded = load(tmp_path / "fan.pdf")
    assert loaded.text == (
        "The fan has a motor that runs for two thousand hours before it has to be oiled. Use only the oil "
        "that the maker of the fan names, because any other one ruins its bearings. After that it must be "
        "cleaned by a person who has read this whole manual with very great care.\n\n"
        "Send the fan back to the shop in which you bought it and add the bill to it."
    )
    assert [(h.level, h.title) for h in loaded.headings] == [(1, "1 Safety"), (1, "2 Repair")]
    assert loaded.page_starts == (0, loaded.text.index("cleaned"))
    assert loaded.losses == ("4 repeated page headers, footers and page numbers were left out.",)
    chunks = chunk_document(loaded, leaf="l", max_tokens=100)
    assert [(c.heading[-1], c.page) for c in chunks] == [("1 Safety", 1), ("2 Repair", 2)]


def test_pdf_that_is_a_scan_or_encrypted(tmp_path: Path) -> None:
    write_pdf(tmp_path / "scan.pdf", [[], []])
    with pytest.raises(DocumentError, match="has no text layer") as scan:
        load(tmp_path / "scan.pdf")
    assert "OCR" in str(scan.value.hint)
    write_pdf(tmp_path / "locked.pdf", [["Secret."]], StandardEncryption("secret"))
    with pytest.raises(DocumentError, match="is encrypted") as locked:
        load(tmp_path / "locked.pdf")
    assert "password" in str(locked.value.hint)


def package(**files: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        for name, content in files.items():
            target.writestr(name.replace("__", "/").replace("_xml", ".xml"), content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("x.md", b"", "is empty"),
        ("x.md", b"  \n\n ", "holds no text"),
        ("x.md", b"\x00\x01\x02binary", "binary data"),
        ("x.exe", b"MZ", "of a kind that cannot be read"),
        ("x", b"words", "of a kind that cannot be read"),
        ("x.pdf", b"no pdf at all", "is not a PDF file"),
        ("x.pdf", b"%PDF-1.4\nhello", "cannot be read"),
        ("x.docx", b"PK\x03\x04junk", "is not a .docx file or is damaged"),
        ("x.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "is encrypted, or an old Office file"),
        ("x.xlsx", package(a="x"), "xl/workbook.xml is missing"),
        ("x.pptx", package(ppt__presentation_xml="<p/>"), "x.pptx"),
        ("x.docx", package(word__document_xml="<w:document>"), "x.docx"),
    ],
)
def test_unusable_files_are_one_clear_error(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DocumentError, match=message) as caught:
        load(tmp_path / name)
    assert name in caught.value.message and caught.value.hint


def test_missing_folder_and_large(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"a\.md is missing"):
        load(tmp_path / "a.md")
    (tmp_path / "b.md").mkdir()
    with pytest.raises(DocumentError, match="is not a file"):
        load(tmp_path / "b.md")
    (tmp_path / "c.md").write_text("x" * 2000)
    with pytest.raises(DocumentError, match="more than the limit"):
        load_document(tmp_path / "c.md", uri="c.md", max_bytes=1000)


def test_supported_suffixes() -> None:
    assert supported_suffixes() == [
        ".docx",
        ".htm",
        ".html",
        ".markdown",
        ".md",
        ".pdf",
        ".pptx",
        ".txt",
        ".xlsx",
    ]


def test_another_converter_can_take_over(tmp_path: Path) -> None:
    class Shout:
        suffixes = frozenset({".shout"})

        def read(self, data: bytes, *, suffix: str, name: str) -> Converted:
            return Converted("text/shout", "", [ParagraphBlock(data.decode().upper())])

    (tmp_path / "x.shout").write_text("hello")
    loaded = load_document(tmp_path / "x.shout", uri="x.shout", converters=[Shout()])
    assert (loaded.text, loaded.media_type) == ("HELLO", "text/shout")


def mutate(data: bytes, cuts: list[tuple[int, bytes]]) -> bytes:
    for position, piece in cuts:
        at = position % (len(data) + 1)
        data = data[:at] + piece + data[at + len(piece) :]
    return data


CUTS = st.lists(st.tuples(st.integers(0, 10**6), st.binary(min_size=1, max_size=6)), max_size=6)


BYTES = st.one_of(st.binary(max_size=200), CUTS)
CHILD_SUFFIXES = sorted(KreuzbergConverter.suffixes)


def load_or_fail_cleanly(path: Path, data: bytes | list[tuple[int, bytes]]) -> None:
    path.write_bytes(data if isinstance(data, bytes) else mutate(sample(path.suffix), data))
    try:
        loaded = load(path)
    except DocumentError as error:
        assert error.hint
        return
    assert loaded.text.strip()
    for chunk in chunk_document(loaded, leaf="l", max_tokens=20):
        assert chunk.text == loaded.text[chunk.start : chunk.end]


@pytest.mark.parametrize("suffix", sorted(TextConverter.suffixes))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=BYTES)
def test_any_text_bytes(tmp_path: Path, suffix: str, data: bytes | list[tuple[int, bytes]]) -> None:
    load_or_fail_cleanly(tmp_path / f"fuzz{suffix}", data)


@pytest.mark.parametrize("suffix", CHILD_SUFFIXES)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=BYTES)
def test_any_office_bytes(tmp_path: Path, suffix: str, data: bytes | list[tuple[int, bytes]]) -> None:
    load_or_fail_cleanly(tmp_path / f"fuzz{suffix}", data)


def test_a_pdf_that_breaks_the_converter_breaks_no_other(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    pdf = canvas.Canvas(buffer, invariant=1)
    pdf.drawString(50, 700, "Words in a page.")
    pdf.save()
    good, bad = tmp_path / "good.pdf", tmp_path / "bad.pdf"
    good.write_bytes(buffer.getvalue())
    bad.write_bytes(buffer.getvalue().replace(b"D:20000101000000+00", b"D:2000010100000\xf8+00"))
    assert bad.read_bytes() != good.read_bytes()
    with pytest.raises(DocumentError, match=r"bad\.pdf cannot be read"):
        load(bad)
    assert load(good).text == "Words in a page."


def sample(suffix: str) -> bytes:
    """A small valid file of each kind, to be damaged."""
    buffer = io.BytesIO()
    if suffix == ".docx":
        word = docx.Document()
        word.add_heading("A & B", 1)
        word.add_table(2, 2).cell(0, 0).text = "x"
        word.save(buffer)
    elif suffix == ".xlsx":
        book = openpyxl.Workbook()
        book.active.append(["a", "b"])
        book.save(buffer)
    elif suffix == ".pptx":
        deck = pptx.Presentation()
        deck.slides.add_slide(deck.slide_layouts[1]).shapes.title.text = "T"
        deck.save(buffer)
    elif suffix == ".pdf":
        pdf = canvas.Canvas(buffer)
        pdf.drawString(50, 700, "Words in a page.")
        pdf.save()
    elif suffix in (".html", ".htm"):
        return b"<table><tr><td colspan=2>a<td>b<tr><th rowspan=3>c</table><ul><li>d<sup>[1]</sup>&amp;<p>e"
    else:
        return (
            b'# T\n[a](b "wikilink") *c* | d\n\n| x | y |\n|---|---|\n| 1 | 2 |\n\n'
            b"- e\n[^1]: f\n$$g$$ <small>h</small>"
        )
    return buffer.getvalue()

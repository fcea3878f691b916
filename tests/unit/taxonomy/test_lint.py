from __future__ import annotations

from pathlib import Path

import pytest
from qna_samples import FACTS, SKILL, document, knowledge, write_leaf

from labtune.taxonomy.check import check
from labtune.taxonomy.wording import quotation_key, word_count

ATTRIBUTION = "Title of work: Bridge\nLicense of the work: CC-BY-4.0\n"


def findings(root: Path) -> list[tuple[str, str]]:
    report = check(root)
    assert report.passed, report.findings
    return [(finding.code, finding.found) for finding in report.findings]


def bridge(root: Path, text: str, **files: str) -> Path:
    files = {"attribution_txt": ATTRIBUTION, "bridge_md": document(), **files}
    return write_leaf(root, "knowledge/bridges/marlow", text, **files)


def test_a_good_leaf_has_no_findings(tmp_path: Path) -> None:
    bridge(tmp_path, knowledge())
    assert findings(tmp_path) == []


def test_a_context_that_the_document_does_not_hold(tmp_path: Path) -> None:
    bridge(tmp_path, knowledge().replace("Boats pass all year", "Boats pass in summer only"))
    codes = dict(findings(tmp_path))
    assert codes["L101"] == '1 of 3 sentences not in the document: "Boats pass in summer only."'


def test_markup_spaces_and_case_do_not_make_a_quotation_wrong(tmp_path: Path) -> None:
    marked = (
        document()
        .replace("the Thames", '[the\nThames](Thames_(river) "wikilink")')
        .replace("oak", "**oak**[^1]")
    )
    bridge(tmp_path, knowledge(), bridge_md=marked)
    assert findings(tmp_path) == []


def test_a_table_may_be_quoted_as_its_statements(tmp_path: Path) -> None:
    from labtune.documents.load import load_document

    table = "\n| Bridge | Length |\n|---|---|\n| Marlow | 71 m |\n| Henley | 90 m |\n"
    folder = bridge(tmp_path, knowledge(), bridge_md=document() + table)
    text = load_document(folder / "bridge.md", uri="b")
    statement = text.text[text.statements[0].start : text.statements[0].end]
    (folder / "qna.yaml").write_text(
        knowledge().replace(f"- context: {FACTS[2]}", f'- context: "{FACTS[2]} {statement}"')
    )
    assert findings(tmp_path) == []


def test_an_answer_that_its_context_does_not_support(tmp_path: Path) -> None:
    text = knowledge().replace(
        "answer: The paint is white.", "answer: Granite elephants polish umbrellas quietly."
    )
    bridge(
        tmp_path, text.replace("answer: Cyclists have priority", "answer: Since 1999 cyclists have priority")
    )
    assert [code for code, _ in findings(tmp_path)] == ["L102", "L102"]
    assert "1999" in findings(tmp_path)[1][1]


def test_numbers_in_words_support_numbers_in_digits(tmp_path: Path) -> None:
    text = knowledge().replace(
        "answer: The planks are replaced every twelve", "answer: They are replaced every 12"
    )
    bridge(tmp_path, text)
    assert findings(tmp_path) == []


def test_chinese_support_and_quotation(tmp_path: Path) -> None:
    facts = ["门诊早上七点半开始看病。", "儿科在二楼，主任医生是陈雨桐。", "急诊每天二十四小时开放。"]
    lines = ["version: 3", "created_by: 我", "domain: 医院", "document_outline: 指南"]
    lines += ["document: {path: [guide.md]}", "seed_examples:"]
    for number in range(5):
        lines += [f"  - context: 第{number}段。{''.join(facts)}", "    questions_and_answers:"]
        for at, fact in enumerate(facts):
            lines += [f"      - question: 问题{number}{at}{fact[:3]}是什么？", f"        answer: {fact}"]
    text = "\n".join(lines) + "\n"
    guide = "\n\n".join(f"第{number}段。{''.join(facts)}" for number in range(5))
    folder = write_leaf(tmp_path, "knowledge/诊所", text, attribution_txt=ATTRIBUTION, guide_md=guide)
    assert findings(tmp_path) == []
    (folder / "qna.yaml").write_text(
        text.replace(f"answer: {facts[1]}", "answer: 停车场位于地下三层并且收费", 1)
    )
    assert [code for code, _ in findings(tmp_path)] == ["L102"]
    (folder / "qna.yaml").write_text(text.replace("context: 第2段。门诊", "context: 第2段。食堂"))
    assert "L101" in dict(findings(tmp_path))


def test_nearly_the_same_question(tmp_path: Path) -> None:
    text = SKILL.replace("Opposite of up?", "The opposite of HOT ?")
    write_leaf(tmp_path, "compositional_skills/opposites", text, attribution_txt=ATTRIBUTION)
    assert findings(tmp_path) == [("L103", '"The opposite of HOT ?", nearly the question on line 6')]


def test_different_contexts_make_a_skill_question_different(tmp_path: Path) -> None:
    seeds = "".join(
        f"  - {{question: Shorten it., answer: a{n}, context: text {n} of many}}\n" for n in range(5)
    )
    text = f"version: 2\ncreated_by: me\ntask_description: t\nseed_examples:\n{seeds}"
    write_leaf(tmp_path, "compositional_skills/short", text, attribution_txt=ATTRIBUTION)
    assert findings(tmp_path) == []


@pytest.mark.parametrize("ask", ["Is it true of {}?", "桥{}是否存在？", "桥{}开放吗？"])
def test_only_yes_no_questions(tmp_path: Path, ask: str) -> None:
    lines = []
    number = 0
    for line in knowledge().splitlines():
        if "- question:" in line:
            number += 1
            line = line.split("- question:")[0] + "- question: " + ask.format(number)
        lines.append(line)
    text = "\n".join(lines) + "\n"
    if not ask.isascii():
        text = text.replace("domain: bridges", "domain: 桥")
        for at, fact in enumerate(FACTS):
            text = text.replace(fact, f"第{at}座桥在白天和夜里都开放，行人可以随时通过这座桥。")
        for line in [line for line in text.splitlines() if "answer:" in line]:
            text = text.replace(line, "        answer: 行人可以随时通过这座桥。", 1)
    bridge(tmp_path, text)
    assert ("L104", "only questions that yes or no answers") in findings(tmp_path)


def test_very_long_texts(tmp_path: Path) -> None:
    text = SKILL.replace("answer: down", "answer: " + "word " * 260).replace(
        "answer: new", "answer: " + "词" * 420
    )
    write_leaf(tmp_path, "compositional_skills/long", text, attribution_txt=ATTRIBUTION)
    assert [found for code, found in findings(tmp_path) if code == "L105"] == [
        "260 words in one answer",
        "262 words in one answer",
    ]


def test_attribution(tmp_path: Path) -> None:
    folder = write_leaf(tmp_path, "compositional_skills/opposites", SKILL)
    path = folder / "attribution.txt"
    seen = []
    for content in (None, " \n", "Title of work: x\n", "License of the work: CC BY-NC-SA 4.0\n", ATTRIBUTION):
        if content is not None:
            path.write_text(content)
        seen.append([code for code, _ in findings(tmp_path)])
    assert seen == [["A101"], ["A102"], ["A103"], ["A104"], []]


def test_version_1_needs_no_attribution(tmp_path: Path) -> None:
    write_leaf(tmp_path, "foundational_skills/opposites", SKILL.replace("version: 2\n", ""))
    assert findings(tmp_path) == []


def test_exam_lint(tmp_path: Path) -> None:
    exam = (
        "version: 1\nquestions:\n  - {question: opposite of HOT, answer: cold, must: [Cold]}\n"
        "  - {question: Opposite of dark?, answer: light, must: [bright]}\n"
    )
    write_leaf(tmp_path, "compositional_skills/opposites", SKILL, attribution_txt=ATTRIBUTION, exam_yaml=exam)
    assert [code for code, _ in findings(tmp_path)] == ["L106", "L108"]


def test_form_is_a_warning_at_most(tmp_path: Path) -> None:
    text = SKILL.replace("answer: down", "answer: down  ").replace("cold", "c" * 1200) + "\n\n"
    write_leaf(tmp_path, "compositional_skills/opposites", text, attribution_txt=ATTRIBUTION)
    assert [code for code, _ in findings(tmp_path)] == ["F104", "F101", "F103"]
    assert check(tmp_path, lint=False).findings == ()


def test_a_document_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    write_leaf(tmp_path, "knowledge/marlow", knowledge(), attribution_txt=ATTRIBUTION)
    (finding,) = check(tmp_path).findings
    assert (finding.code, finding.severity, finding.source.line) == ("D101", "error", 5)
    assert "'*.md' matches no file" in finding.found
    assert not check(tmp_path, lint=False).passed


def test_quotation_key_ignores_markup() -> None:
    assert quotation_key('**A** [b c](x_(y) "t") ![img](z.png) d[^3] <b>E</b>, [[F|g]]!') == "abcdeg"


def test_word_count_of_mixed_text() -> None:
    assert word_count("two words") == 2
    assert word_count("词" * 16 + " word") == 11

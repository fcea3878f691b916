"""Whatever the bytes: findings or a leaf, never an exception, and a mend that is safe to repeat."""

from __future__ import annotations

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from qna_samples import SKILL, check_text, codes, knowledge

from labtune.taxonomy.attribution import parse_attribution
from labtune.taxonomy.check import check
from labtune.taxonomy.codes import CODES
from labtune.taxonomy.exam import validate_exam
from labtune.taxonomy.fix import fix_exam, fix_qna
from labtune.taxonomy.problems import Problems
from labtune.taxonomy.validate import LeafName, Validation
from labtune.taxonomy.yaml_nodes import MappingNode, Node, SequenceNode, read_nodes
from labtune.types import LeafKind

EXAM = 'version: 1\nquestions:\n  - question: q?\n    answer: "a"\n    must: [a]\n'
QUICK = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
PIECES = st.sampled_from(
    [
        *("&a ", "*a", "<<: *a\n", "!!python/name:os.system ", "- ", "? ", ": ", "{", "}", "[", "]", "|+\n"),
        *(">-\n", "'", '"', "\t", "\n", "\r\n", "\u2028", "\ufeff", "\x00", "---\n", "...\n", "# x\n", "Yes"),
        *(
            "2",
            "null",
            "~",
            "version: ",
            "seed_examples:",
            "context: ",
            "question: ",
            "  ",
            "冷",
            "😀",
            "<a b>",
        ),
        *("%YAML 1.1\n", "\\"),
    ]
)


@st.composite
def mutated(draw: st.DrawFn, valid: str) -> str:
    """A valid file with some pieces cut out and some put in."""
    text = valid
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 40)))
        text = text[:start] + draw(st.one_of(PIECES, st.just(""), st.text(max_size=6))) + text[end:]
    return text


def assert_sound(result: Validation, size: int) -> None:
    assert set(codes(result)) <= set(CODES)
    assert (result.leaf is None) is any(f.severity == "error" for f in result.problems.findings)
    for finding in result.problems.findings:
        assert finding.source.line >= 1
        assert finding.source.column >= 1
        assert finding.mend
    for edit in result.problems.edits:
        assert 0 <= edit.start <= edit.end <= size


@QUICK
@given(st.binary(max_size=300))
def test_any_bytes_are_findings(data: bytes) -> None:
    for kind in ("knowledge", "compositional_skill", None):
        assert_sound(check_text(data, kind), len(data))
    assert validate_exam(data, "exam.yaml").problems.findings
    fix_exam(data)
    parse_attribution(data.decode("utf-8", "replace"))


@QUICK
@given(st.lists(PIECES, max_size=40))
def test_any_pieces_of_yaml_are_findings(pieces: list[str]) -> None:
    text = "".join(pieces)
    assert_sound(check_text(text), len(text))
    assert_sound(check_text(text, "knowledge"), len(text))


def fix(text: str, kind: LeafKind) -> str:
    return fix_qna(text.encode("utf-8", "replace"), LeafName("x", "x", kind))[0].decode()


def values(text: str) -> object:
    """What a file says, with everything as text and without white space at the ends."""

    def plain(node: Node | None) -> object:
        if isinstance(node, MappingNode):
            return [[key, plain(item)] for key, (_, item) in node.entries.items()]
        if isinstance(node, SequenceNode):
            return [plain(item) for item in node.items]
        return node.value.strip() if node else None

    return plain(read_nodes(text.removeprefix("\ufeff"), Problems("")))


@QUICK
@given(mutated(SKILL))
@example(SKILL.replace("    answer: new\n", "    answer: new\n\t  answer: small\n"))
def test_mutated_skills_are_findings_and_mends_are_stable(text: str) -> None:
    before = check_text(text)
    assert_sound(before, len(text))
    once = fix(text, "compositional_skill")
    assert fix(once, "compositional_skill") == once
    errors = [finding for finding in before.problems.findings if finding.severity == "error"]
    left = [finding for finding in check_text(once).problems.findings if finding.severity == "error"]
    unreadable = [sum(finding.code.startswith("Y") for finding in found) for found in (left, errors)]
    assert unreadable[0] <= unreadable[1]
    # Only what is YAML is checked any further: once mended, the rest may show what was hidden.
    assert unreadable[1] or len(left) <= len(errors)
    if before.leaf is not None:
        assert values(once) == values(text)


@QUICK
@given(mutated(knowledge()))
def test_mutated_knowledge_is_findings_and_mends_are_stable(text: str) -> None:
    assert_sound(check_text(text, "knowledge"), len(text))
    once = fix(text, "knowledge")
    assert fix(once, "knowledge") == once


@QUICK
@given(mutated(EXAM))
def test_mutated_exams_are_findings_and_mends_are_stable(text: str) -> None:
    data = text.encode("utf-8", "replace")
    result = validate_exam(data, "exam.yaml")
    assert bool(result.items) is not result.problems.failed
    once = fix_exam(data)[0]
    assert fix_exam(once)[0] == once


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(qna=mutated(SKILL), exam=mutated(EXAM), attribution=st.binary(max_size=60))
def test_a_whole_check_never_raises(tmp_path_factory, qna: str, exam: str, attribution: bytes) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path_factory.mktemp("t") / "compositional_skills" / "a"
    folder.mkdir(parents=True)
    (folder / "qna.yaml").write_bytes(qna.encode("utf-8", "replace"))
    (folder / "exam.yaml").write_bytes(exam.encode("utf-8", "replace"))
    (folder / "attribution.txt").write_bytes(attribution)
    report = check(folder.parents[1])
    assert report.leaves == 1

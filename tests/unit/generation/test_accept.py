"""From finished rows to samples: what is dropped and why, what a sample remembers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from curated_text import MANUAL, POLICY_ZH, context_of, document_of, leaf_of

from labtune.generation.accept import Acceptance, Origin
from labtune.generation.draws import Draw, Draws
from labtune.generation.flow.rows import FlowRow, TrailStep, source_row
from labtune.generation.funnel import Funnel, class_of
from labtune.types import ExamQuestion, Json, Rejection, Sample, SeedExample, Source, Verdict

ORIGIN = Origin("full", "v1", "teacher-a", "judge-b", temperature=0.3)
SEEDS = (
    SeedExample("s1", "Who designed the Kestrel Kettle?", "Mira Voss", None, Source("qna.yaml", 4)),
    SeedExample(
        "s2", "How long does the warranty last?", "5 years", None, Source("qna.yaml", 9), held_out=True
    ),
)


def _acceptance(folder: Path, text: str = MANUAL) -> tuple[Acceptance, Draw]:
    context = context_of(document_of(folder, text))
    leaf = replace(context.leaf, seeds=SEEDS, created_by="ida")
    exam = [ExamQuestion("e1", leaf.path, "Where are the spare parts?", "", "test", Source("e", 1), "exam")]
    (draw, *_) = Draws(leaf, context.chunks, examples=3, seed=1).first_round(1)
    return Acceptance(leaf, context.documents, exam, 0.8, ORIGIN), draw


def _row(question: str, answer: str, **more: Json) -> FlowRow:
    row = source_row("knowledge/text", (question, answer), {})
    asked = TrailStep("pairs", 0, "pairs/en@1", "teacher-a", 0.7, 4, ("k1", "k2"))
    judged = TrailStep("check", 0, "check/en@2", "judge-b", 0.0, 0, ("k3",))
    fields = {"question": question, "answer": answer, **more}
    made = row.extended(asked, fields).extended(judged, {"faithful": 1})
    return replace(made, verdicts=(Verdict("check", "faithful=1", "It says so."),))


def _reason(found: Sample | Rejection) -> str:
    return found.reason if isinstance(found, Rejection) else "kept"


def test_each_fault_is_named(tmp_path: Path) -> None:
    acceptance, draw = _acceptance(tmp_path)
    cases = [
        ("What does the kettle weigh?", "The kettle weighs 1.2 kg.", "kept"),
        ("what does the kettle weigh", "1.2 kg.", "near_duplicate"),
        ("How long is the cord?", "The cord is 80 cm long.", "number_not_in_document"),
        ("How long is the cord?", "", "empty"),
        ("How long is the cord?", "电线长75厘米。", "wrong_language"),
        ("Where are the spare parts?", "The spare parts are stored in Bergen.", "exam_question"),
        ("How long does the warranty last, please?", "The warranty lasts 5 years.", "exam_question"),
        ("How long is the cord?", "Nobody can tell.", "nothing_quoted"),
        ("Who made the lid?", "Olaf Lund made the lid.", "name_not_in_document"),
    ]
    found = [_reason(acceptance.take(_row(question, answer), draw)) for question, answer, _ in cases]
    assert found == [reason for _, _, reason in cases]


def test_a_sample_remembers_who_wrote_it_from_what_and_where_it_stands(tmp_path: Path) -> None:
    acceptance, draw = _acceptance(tmp_path)
    sample = acceptance.take(
        _row("How heavy is it?", "It weighs 1.2 kg.", view="atomic_facts", form="facts"), draw
    )
    assert isinstance(sample, Sample)
    assert (sample.teacher, sample.pipeline, sample.contributor, sample.form) == (
        "teacher-a",
        "full",
        "ida",
        "facts",
    )
    assert draw.chunk is not None
    (span,) = sample.grounding
    assert draw.chunk.text[span.start - draw.chunk.start : span.end - draw.chunk.start] == (
        "The kettle weighs 1.2 kg."
    )
    assert acceptance.covered == {draw.chunk.document_id: {(span.start, span.end)}}
    lineage = sample.lineage
    assert lineage is not None
    assert lineage.examples == (Source("qna.yaml", 4),)
    assert lineage.prompts == {"pairs": "pairs/en@1", "check": "check/en@2"}
    # The lab's temperature is the teacher's; a judge keeps the pipeline's.
    assert lineage.sampling == {
        "pairs": {"temperature": 0.3, "draw": 4},
        "check": {"temperature": 0.0, "draw": 0},
    }
    assert (lineage.judge, lineage.calls, lineage.view) == ("judge-b", ("k1", "k2", "k3"), "atomic_facts")
    assert sample.length == "short"


def test_a_skills_context_is_part_of_what_is_asked(tmp_path: Path) -> None:
    skill = leaf_of("compositional_skills/order", kind="compositional_skill")
    acceptance = Acceptance(skill, {}, [], 0.8, ORIGIN)
    draw = Draw(None, 0, 0, ())
    one = acceptance.take(_row("Find the number.", "It is 12.", context="My order 12 is late."), draw)
    two = acceptance.take(_row("Find the number.", "It is 99.", context="Where is parcel 99 now?"), draw)
    assert isinstance(one, Sample)
    assert isinstance(two, Sample)
    assert one.messages[0].content == "My order 12 is late.\n\nFind the number."


def test_views_of_one_passage_are_compared_by_what_they_say(tmp_path: Path) -> None:
    acceptance, draw = _acceptance(tmp_path)
    assert draw.chunk is not None
    passage = draw.chunk.text
    texts = [
        ("The Kestrel Kettle boils water; Mira Voss designed it in 2019.", "kept"),
        ("The kettle weighs 1.2 kg, its jug holds 1.7 litres and its cord is 75 cm long.", "kept"),
        ("The Kestrel Kettle boils water. Mira Voss designed it in 2019.", "near_duplicate"),
    ]
    found = [
        _reason(acceptance.take(_row("Retell the text above.", text, context=passage, form="summary"), draw))
        for text, _ in texts
    ]
    assert found == [reason for _, reason in texts]


def test_chinese_documents_are_answered_in_chinese(tmp_path: Path) -> None:
    acceptance, draw = _acceptance(tmp_path, POLICY_ZH)
    assert _reason(acceptance.take(_row("谁是馆长？", "馆长是沈若兰。"), draw)) == "kept"
    assert _reason(acceptance.take(_row("罚款多少？", "The fine is 0.2 yuan."), draw)) == "wrong_language"
    assert _reason(acceptance.take(_row("罚款多少？", "每天罚款5元。"), draw)) == "number_not_in_document"


def test_the_funnel_counts_by_class_keeps_three_examples_and_names_the_greatest_loss() -> None:
    funnel = Funnel()
    for number in range(5):
        funnel.reject(Rejection("k", "pairs", "unparsable", {"id": str(number), "detail": "x" * 999}))
    funnel.reject(Rejection("k", "faithfulness", "low_faithful", {"id": "9"}))
    entry = funnel.as_json(kept=2)
    assert (entry["unparsable"], entry["judged_out"], entry["kept"]) == (5, 1, 2)
    assert (entry["rejected:unparsable"], entry["rejected:low_faithful"]) == (5, 1)
    assert [row["id"] for row in entry["examples"]["unparsable"]] == ["0", "1", "2"]
    assert all(len(row["detail"]) <= 400 for row in entry["examples"]["unparsable"])
    where, cause, remedy = funnel.cause()
    assert (where, "5 rows" in cause, "larger teacher" in remedy) == ("unparsable", True, True)
    assert "generate.pipeline: simple" in remedy
    assert "generate.pipeline: simple" not in funnel.cause("simple")[2]
    assert class_of("low_anything") == "judged_out"

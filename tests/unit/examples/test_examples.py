"""The shipped example labs: their documents, seeds and exams agree with each other."""

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

EXAMPLES = Path(__file__).parents[3] / "src" / "labtune" / "examples"


@dataclass(frozen=True)
class Lab:
    """Where one example's knowledge leaf lies and what it has to hold."""

    name: str
    leaf: str
    document: str
    min_questions: int

    @property
    def root(self) -> Path:
        return EXAMPLES / self.name

    @property
    def knowledge(self) -> Path:
        return self.root / "taxonomy" / "knowledge" / self.leaf

    @property
    def text(self) -> str:
        return (self.knowledge / self.document).read_text(encoding="utf-8")

    @property
    def header(self) -> str:
        """The cells above the table's rows: part of what a row says."""
        return next(line for line in self.text.splitlines() if line.startswith("|"))


LABS = [
    Lab("customer-service", "home_appliances/pelluno_v3", "manual.md", 60),
    Lab("clinic-zh", "health/chengxi_clinic", "guide.md", 45),
]
SKILL_LEAVES = sorted(p.parent for p in EXAMPLES.glob("*/taxonomy/compositional_skills/**/qna.yaml"))
LEAVES = sorted(p.parent for p in EXAMPLES.glob("*/taxonomy/**/qna.yaml"))


def _load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _questions(leaf: Path) -> list[dict[str, Any]]:
    exam = _load(leaf / "exam.yaml")
    assert exam["version"] == 1
    questions: list[dict[str, Any]] = exam["questions"]
    return questions


def _pairs(leaf: Path) -> list[dict[str, str]]:
    """All seed questions of a leaf, each with the context it belongs to ("" for a free skill)."""
    pairs = []
    for seed in _load(leaf / "qna.yaml")["seed_examples"]:
        for pair in seed.get("questions_and_answers", [seed]):
            pairs.append({"context": seed.get("context", ""), **pair})
    return pairs


def _flat(text: str) -> str:
    """Text without table bars, emphasis, heading and list marks, and with single spaces."""
    text = re.sub(r"^\s*(#+|[-*])\s+", "", text, flags=re.MULTILINE)
    return " ".join(re.sub(r"[|*_`]", " ", text).split())


def _has(text: str, word: str) -> bool:
    """The documented rule for `must` words: whole words for Latin script, substrings for Chinese."""
    if re.search(r"[\u4e00-\u9fff]", word):
        return word in text
    pattern = rf"(?<![0-9a-z]){re.escape(word.casefold())}(?![0-9a-z])"
    return re.search(pattern, text.casefold()) is not None


def _units(text: str) -> list[str]:
    """Sentences, list items and table rows of a document: each stands on its own line here."""
    lines = [line for line in text.splitlines() if not line.startswith(("#", "|---"))]
    return [flat for line in lines if (flat := _flat(line))]


def _content(text: str) -> set[str]:
    """Latin words of four or more letters, and single Chinese characters but the commonest particle."""
    return set(re.findall(r"[a-z]{4,}|[\u4e00-\u9fff]", text.casefold())) - {"的", "是", "在"}


def _numbers(text: str) -> set[str]:
    return set(re.findall(r"\d+(?:[.-]\d+)*", text))


def _supported(answer: str, evidence: str, share: float) -> bool:
    """All numbers of the answer and that share of its content words stand in the evidence."""
    words = _content(answer)
    return _numbers(answer) <= _numbers(evidence) and len(words & _content(evidence)) >= share * len(words)


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.name)
def test_example_has_settings_readme_and_three_complete_leaves(lab: Lab) -> None:
    settings = _load(lab.root / "labtune.yaml")
    assert settings == {
        "taxonomy": "taxonomy",
        "teacher": "builtin",
        "student": "builtin:nano",
        "recipe": "single",
        "exam": {"from_seeds": 0.2},
    }
    assert (lab.root / "README.md").stat().st_size > 0
    leaves = [leaf for leaf in LEAVES if lab.root in leaf.parents]
    assert len(leaves) == 3
    for leaf in leaves:
        attribution = (leaf / "attribution.txt").read_text(encoding="utf-8")
        for field in ("Title of work", "Link to work", "Revision", "License of the work", "Creator names"):
            assert f"{field}: " in attribution


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.name)
def test_all_texts_are_non_empty_strings(leaf: Path) -> None:
    for entry in [*_pairs(leaf), *_questions(leaf)]:
        for key in ("question", "answer"):
            assert isinstance(entry[key], str)
            assert entry[key].strip()
        assert all(isinstance(word, str) and word for word in entry.get("must", []))


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.name)
def test_knowledge_leaf_follows_version_3(lab: Lab) -> None:
    qna = _load(lab.knowledge / "qna.yaml")
    assert set(qna) == {
        "version",
        "created_by",
        "domain",
        "document_outline",
        "document",
        "seed_examples",
    }
    assert qna["version"] == 3
    assert qna["document"] == {"path": [lab.document]}
    assert len(qna["seed_examples"]) >= 5
    assert all(len(seed["questions_and_answers"]) >= 3 for seed in qna["seed_examples"])


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.name)
def test_seed_contexts_are_quoted_from_the_document(lab: Lab) -> None:
    document = _flat(lab.text)
    for seed in _load(lab.knowledge / "qna.yaml")["seed_examples"]:
        assert _flat(seed["context"]) in document


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.name)
def test_seed_answers_are_supported_by_their_context(lab: Lab) -> None:
    for pair in _pairs(lab.knowledge):
        evidence = f"{lab.header} {pair['context']}"
        assert _supported(pair["answer"], evidence, 0.6), pair["answer"]


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.name)
def test_document_has_a_table_sections_and_numbers(lab: Lab) -> None:
    rows = [line for line in lab.text.splitlines() if line.startswith("|")]
    assert 7 <= len(rows) <= 9
    assert {row.count("|") for row in rows} == {4}
    assert len(re.findall(r"^## ", lab.text, flags=re.MULTILINE)) >= 8
    assert len(re.findall(r"\d", lab.text)) >= 30


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.name)
def test_document_has_about_the_agreed_size(lab: Lab) -> None:
    size = len(lab.text) if lab.name == "clinic-zh" else len(lab.text.split())
    low, high = (1200, 1600) if lab.name == "clinic-zh" else (800, 1000)
    assert low <= size <= high


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.name)
def test_exam_is_large_enough_and_its_questions_are_unique(lab: Lab) -> None:
    asked = [question["question"].casefold() for question in _questions(lab.knowledge)]
    assert len(asked) >= lab.min_questions
    assert len(set(asked)) == len(asked)
    for one, other in combinations(asked, 2):
        assert SequenceMatcher(None, one, other).ratio() < 0.75, (one, other)


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.name)
def test_no_exam_question_repeats_a_seed_question(lab: Lab) -> None:
    seeds = [pair["question"].casefold() for pair in _pairs(lab.knowledge)]
    for question in _questions(lab.knowledge):
        asked = question["question"].casefold()
        assert all(SequenceMatcher(None, asked, seed).ratio() < 0.75 for seed in seeds), asked


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.name)
def test_must_words_are_the_documents_and_the_answers_but_not_the_questions(lab: Lab) -> None:
    for question in _questions(lab.knowledge):
        must = question["must"]
        assert must
        assert all(_has(lab.text, word) and _has(question["answer"], word) for word in must), question
        assert not all(_has(question["question"], word) for word in must), question


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.name)
def test_must_words_pick_one_fact_and_no_fact_is_asked_more_than_twice(lab: Lab) -> None:
    asked: dict[str, int] = {}
    for question in _questions(lab.knowledge):
        facts = [unit for unit in _units(lab.text) if all(_has(unit, word) for word in question["must"])]
        assert 1 <= len(facts) <= 2, (question["question"], facts)
        asked[facts[-1]] = asked.get(facts[-1], 0) + 1
    assert max(asked.values()) <= 2


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.name)
def test_exam_answers_are_supported_by_one_place_of_the_document(lab: Lab) -> None:
    evidence = [f"{lab.header} {unit}" for unit in _units(lab.text)]
    for question in _questions(lab.knowledge):
        assert any(_supported(question["answer"], unit, 0.7) for unit in evidence), question["answer"]


@pytest.mark.parametrize("leaf", SKILL_LEAVES, ids=lambda leaf: f"{leaf.parts[-5]}-{leaf.name}")
def test_skill_leaf_has_enough_seeds_and_an_unseen_exam(leaf: Path) -> None:
    qna = _load(leaf / "qna.yaml")
    assert set(qna) == {"version", "created_by", "task_description", "seed_examples"}
    assert qna["version"] == 3
    seeds, exam = _pairs(leaf), _questions(leaf)
    assert 10 <= len(seeds) <= 12
    assert 4 <= len(exam) <= 6
    asked = {(pair["context"], pair["question"]) for pair in seeds}
    assert len(asked) == len(seeds)
    assert not {text for _, text in asked} & {question["question"] for question in exam}


@pytest.mark.parametrize(
    "leaf",
    [leaf for leaf in SKILL_LEAVES if "grounded" in leaf.parts],
    ids=lambda leaf: leaf.name,
)
def test_grounded_skill_answers_are_copied_from_unseen_contexts(leaf: Path) -> None:
    seen = {pair["context"] for pair in _pairs(leaf)}
    learned = " ".join(pair["answer"] for pair in _pairs(leaf))
    for question in _questions(leaf):
        assert question["context"] not in seen
        for word in question["must"]:
            assert word in question["context"]
            assert word in question["answer"]
            assert word not in learned

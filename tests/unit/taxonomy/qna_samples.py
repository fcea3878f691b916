"""Valid files that the tests start from."""

from __future__ import annotations

from pathlib import Path

from labtune.taxonomy.validate import LeafName, Validation, validate
from labtune.types import LeafKind

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"

SKILL = """\
# what the skill is
version: 2
created_by: me
task_description: Name the opposite.  # short
seed_examples:
  - question: Opposite of hot?
    answer: "cold"
  - question: Opposite of up?
    answer: down
  - question: Opposite of old?
    answer: new
  - question: Opposite of big?
    answer: small
  - question: Opposite of wet?
    answer: dry
"""

FACTS = (
    "The Marlow bridge is 71 metres long. The Marlow bridge was opened in 1832. William Clark designed it.",
    "The river below the bridge is the Thames. Boats pass all year. The speed limit is 8 km/h.",
    "The deck is made of oak planks. The planks are replaced every twelve years. The paint is white.",
    "The toll was abolished in 1901. The toll house is now a bakery. The bakery opens at seven o'clock.",
    "The bridge is closed to lorries. Cyclists have priority on the deck. The bridge is lit until midnight.",
)


def knowledge(document: str = '{path: ["*.md"]}') -> str:
    """A valid knowledge leaf about `FACTS`; every answer is a sentence of its context."""
    lines = ["version: 3", "created_by: me", "domain: bridges", "document_outline: a bridge"]
    lines += [f"document: {document}", "seed_examples:"]
    for number, fact in enumerate(FACTS):
        lines += [f"  - context: {fact}", "    questions_and_answers:"]
        for at, sentence in enumerate(fact.split(". ")):
            subject = " ".join(sentence.split()[:4]).lower()
            lines += [f"      - question: What is said of {subject} ({number}.{at})?"]
            lines += [f"        answer: {sentence.rstrip('.')}."]
    return "\n".join(lines) + "\n"


def check_text(data: bytes | str, kind: LeafKind | None = "compositional_skill") -> Validation:
    """Validate a buffer as some leaf."""
    return validate(data, LeafName("x/leaf", "x/leaf/qna.yaml", kind))


def codes(validation: Validation) -> list[str]:
    """The codes of all findings in their order."""
    return [finding.code for finding in validation.problems.findings]


def write_leaf(root: Path, path: str, text: str, **files: str) -> Path:
    """Write a leaf folder; further files by name with `_` for the dot."""
    folder = root / path
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "qna.yaml").write_text(text, encoding="utf-8")
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_text(content, encoding="utf-8")
    return folder


def document() -> str:
    """The document that `knowledge()` quotes."""
    return "# The Marlow bridge\n\n" + "\n\n".join(FACTS) + "\n"

"""Makes labs of small knowledge leaves, for tests that run stages."""

from __future__ import annotations

from pathlib import Path

import yaml

FACTS = (
    "The {name} is a desk lamp with two arms.",
    "The {name} was designed by Ida Lund in {year}.",
    "The {name} weighs {weight} grams.",
    "The cord of the {name} is {cord} cm long.",
    "Clean the shade of the {name} with a dry cloth.",
    "The bulb of the {name} lasts {bulb} years.",
    "Hold the switch of the {name} for {hold} seconds to dim the light.",
    "The arms of the {name} are made of ash wood.",
)
NAMES = (
    "Heron",
    "Lark",
    "Robin",
    "Wren",
    "Finch",
    "Swift",
    "Plover",
    "Dunlin",
    "Curlew",
    "Bunting",
    "Siskin",
    "Redpoll",
)


def values(number: int) -> dict[str, object]:
    """What the leaf with this number says."""
    return {
        "name": f"{NAMES[number]} Lamp",
        "year": 2001 + number,
        "weight": 1400 + number,
        "cord": 90 + number,
        "bulb": 7 + number,
        "hold": 2 + number,
    }


def manual(number: int, extra: str = "") -> str:
    """The leaf's document: two sections of sentences."""
    facts = [fact.format(**values(number)) for fact in FACTS]
    body = "\n".join([f"# {NAMES[number]} Lamp", "", *facts[:4], "", "## Care", "", *facts[4:]])
    return f"{body}\n{extra}\n"


def write_leaf(root: Path, number: int, extra: str = "") -> Path:
    """Write one leaf below `root/taxonomy`; returns its folder."""
    leaf = root / "taxonomy" / "knowledge" / "lamps" / NAMES[number].lower()
    leaf.mkdir(parents=True, exist_ok=True)
    said = values(number)
    facts = [fact.format(**said) for fact in FACTS]
    asked = [f"What is said in sentence {i} about the {said['name']}?" for i in range(len(facts))]
    examples = [
        {
            "context": "\n".join(facts[i : i + 3]),
            "questions_and_answers": [
                {"question": f"{asked[i + j]} ({word})", "answer": facts[i + j]}
                for j, word in enumerate(("briefly", "please", "in full"))
            ],
        }
        for i in range(5)
    ]
    qna = {
        "version": 3,
        "created_by": "ida",
        "domain": "lamps",
        "document_outline": f"Manual of the {said['name']}",
        "document": {"path": ["manual.md"]},
        "seed_examples": examples,
    }
    (leaf / "qna.yaml").write_text(yaml.safe_dump(qna, sort_keys=False, allow_unicode=True))
    (leaf / "attribution.txt").write_text("Title of work: Lamps\nLicense of the work: CC-BY-4.0\n")
    (leaf / "manual.md").write_text(manual(number, extra))
    return leaf


def write_lab(root: Path, leaves: int, settings: str) -> Path:
    """A lab with so many leaves and these settings."""
    root.mkdir(parents=True, exist_ok=True)
    for number in range(leaves):
        write_leaf(root, number)
    (root / "labtune.yaml").write_text(settings)
    return root

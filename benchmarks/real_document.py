"""A lab over somebody else's taxonomy, with one leaf's document given as a local file.

    python benchmarks/real_document.py --taxonomy TAXONOMY --leaf knowledge/... --document FILE --lab FOLDER

All human seed questions are held out and used for nothing but the exam. Shown are the share of them that the
tuned student has right closed book, its multiple-choice accuracy and training time, and beside them plain
BM25 over the document's sentences, open book, by the same rule.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

LAB = "taxonomy: taxonomy\nteacher: builtin\nstudent: builtin:nano\nexam: {from_seeds: 1.0}\n"


def make_lab(folder: Path, taxonomy: Path, leaf: str, document: Path) -> None:
    shutil.copytree(taxonomy, folder / "taxonomy")
    (folder / "labtune.yaml").write_text(LAB, encoding="utf-8")
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    qna = folder / "taxonomy" / leaf / "qna.yaml"
    value = yaml.safe_load(qna.read_text(encoding="utf-8"))
    value["document"] = {"path": [document.name]}
    qna.write_text(yaml.safe_dump(value, allow_unicode=True, sort_keys=False), encoding="utf-8")
    shutil.copyfile(document, qna.parent / document.name)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--taxonomy", type=Path, required=True)
    parser.add_argument("--leaf", required=True)
    parser.add_argument("--document", type=Path, required=True)
    parser.add_argument("--lab", type=Path, required=True, help="folder to make (kept)")
    parser.add_argument("--set", action="append", default=[], dest="settings")
    options = parser.parse_args()
    if not options.lab.exists():
        make_lab(options.lab, options.taxonomy, options.leaf, options.document)
    settings = [word for text in options.settings for word in ("--set", text)]
    run = [sys.executable, "-m", "labtune", "run", "--lab", str(options.lab), *settings]
    done = subprocess.run(run, check=False)
    if done.returncode not in (0, 1):
        sys.exit(done.returncode)
    latest = (options.lab / "runs" / "latest").resolve()
    scores = json.loads((latest / "evaluate" / "scores.json").read_text(encoding="utf-8"))
    train = json.loads((latest / "train" / "manifest.json").read_text(encoding="utf-8"))
    print(
        json.dumps(
            {
                "leaf": options.leaf,
                "closed_book": scores["leaves"][options.leaf],
                "retention": scores["retention"]["ratio"],
                "training_seconds": train["seconds"],
            },
            indent=1,
        )
    )
    subprocess.run(
        [sys.executable, str(Path(__file__).with_name("bm25_open_book.py")), str(latest)], check=True
    )


if __name__ == "__main__":
    main()

"""Coverage-guided fuzzing of pipeline files, prompt files and the rendering of prompts.

    pip install atheris
    python -m benchmarks.fuzz.flow_files [-max_total_time=60] [corpus folder]

Nothing but this project's own errors may come out. Every input is tried as a pipeline, as a prompt and as
the text that a prompt encloses. The tests claim the same with hypothesis; this goes deeper, given time.
"""

from __future__ import annotations

import json
import sys

import atheris

with atheris.instrument_imports(include=["labtune", "yaml", "jinja2"]):
    from labtune.errors import ConfigError, DataError
    from labtune.generation.flow.pipeline import parse_flow
    from labtune.generation.flow.prompt import load_prompt, parse_wording
    from labtune.generation.flow.template import compile_template

FIELDS = {
    "leaf_path": "knowledge/x",
    "language": "en",
    "task_description": "",
    "domain": "birds",
    "outline": "",
    "examples": [{"question": "Q?", "answer": "A.", "context": "C"}],
    "number": 3,
    "passage": "A bird sings.",
    "document": "A bird sings.",
    "heading": "",
    "title": "Birds",
}


def one_input(data: bytes) -> None:
    """Try one text as everything that it could be."""
    text = data.decode("utf-8", "surrogateescape" if data[:1] == b"\x01" else "replace")
    for attempt in (_pipeline, _block, _prompt, _value):
        try:
            attempt(text)
        except (ConfigError, DataError) as error:
            if not error.message:
                raise AssertionError("an error that says nothing") from error


def _pipeline(text: str) -> None:
    parse_flow(text, "x.yaml")


def _block(text: str) -> None:
    parse_flow(f"knowledge:\n- {{type: prompt, config: {{prompt: knowledge/pairs,\n {text}", "x.yaml")


def _prompt(text: str) -> None:
    wording = parse_wording("own", "en", f"# user\n{text}", "en.md")
    for _role, template in wording.messages:
        template.render(FIELDS)


def _value(text: str) -> None:
    load_prompt("knowledge/pairs", None).render({**FIELDS, "passage": text, "language": text[:8]})
    rendered = compile_template("{{ passage | block('passage') }}", "x").render({"passage": text})
    opener, *_middle, closer = rendered.split("\n")
    if opener in text or closer in text or closer != opener.replace("<", "</"):
        raise AssertionError(f"a text that leaves its tags: {json.dumps(text)}")


def main() -> None:
    """Fuzz until stopped."""
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

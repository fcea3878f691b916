"""What is loaded when, checked in fresh interpreters."""

import subprocess
import sys

HEAVY = (
    "torch",
    "transformers",
    "trl",
    "datasets",
    "accelerate",
    "numpy",
    "pandas",
    "kreuzberg",
    "ruamel",
    "pyarrow",
    "aiohttp",
)


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert not loaded_by("import labtune").intersection({*HEAVY, "pydantic", "rich", "typer", "yaml"})


def test_the_core_modules_load_no_heavy_library() -> None:
    statement = (
        "import labtune.types, labtune.protocols, labtune.artifact, labtune.errors, labtune.registry\n"
        "import labtune.config.layers, labtune.workflow.stages, labtune.workflow.run, labtune.workflow.lab"
    )
    assert not loaded_by(statement).intersection(HEAVY)


def test_reading_replies_and_counting_costs_loads_no_http_library() -> None:
    statement = "import labtune.models.endpoint.structured, labtune.models.endpoint.budget"
    assert not loaded_by(statement).intersection(HEAVY)

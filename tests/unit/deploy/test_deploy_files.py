"""The files in deploy/ against the schemas of those who will read them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator, ValidationError

from labtune.config.layers import load

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
SBATCH_OPTIONS = {
    # `man sbatch` of Slurm 24.05: the option and the form of its value.
    "job-name": r"[\w-]+",
    "nodes": r"\d+(-\d+)?",
    "ntasks-per-node": r"\d+",
    "cpus-per-task": r"\d+",
    "gpus-per-node": r"(\w+:)?\d+",
    "mem": r"\d+[KMGT]?",
    "time": r"(\d+-)?\d+(:\d+){0,2}",
    "signal": r"(R?B?:)?(TERM|INT|USR1|USR2|\d+)(@\d+)?",
    "requeue": None,
    "output": r"\S+",
    "partition": r"[\w,-]+",
    "account": r"[\w-]+",
}


def schema(name: str) -> dict:
    return json.loads((DEPLOY / "schemas" / name).read_text(encoding="utf-8"))


def documents(name: str) -> list[dict]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text(encoding="utf-8")))


def pod_template() -> dict:
    spec = schema("rayjob.json")["properties"]["spec"]["properties"]
    return spec["rayClusterSpec"]["properties"]["headGroupSpec"]["properties"]["template"]


def check(job: dict) -> None:
    Draft202012Validator(schema("rayjob.json")).validate(job)


def test_the_ray_job_fits_kuberays_definition():
    (job,) = documents("rayjob.yaml")
    check(job)
    cluster = job["spec"]["rayClusterSpec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        mounts = {mount["name"] for box in pod["containers"] for mount in box["volumeMounts"]}
        assert mounts == {volume["name"] for volume in pod["volumes"]}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "entryPoint"), "labtune run"),
        (("spec", "rayClusterSpec", "headGroupSpec", "template", "spec", "container"), []),
        (("spec", "rayClusterSpec", "workerGroupSpecs"), [{"groupName": "gpu"}]),
        (("spec", "backoffLimit"), "two"),
        (("apiVersion",), "ray.io/v2"),
    ],
)
def test_the_schema_refuses_what_kuberay_would_refuse(path, value):
    (job,) = documents("rayjob.yaml")
    node = job
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    with pytest.raises(ValidationError):
        check(job)


def test_versions_are_those_that_are_tested():
    pins = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
    )
    (job,) = documents("rayjob.yaml")
    assert job["spec"]["rayClusterSpec"]["rayVersion"] == pins["ray"]
    image = re.search(r"^FROM rayproject/ray:(\S+)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert image is not None
    assert image.group(1).startswith(f"{pins['ray']}-py311")


def test_what_the_ray_job_puts_into_the_environment_are_settings(tmp_path):
    (job,) = documents("rayjob.yaml")
    cluster = job["spec"]["rayClusterSpec"]
    (box,) = cluster["headGroupSpec"]["template"]["spec"]["containers"]
    environment = {one["name"]: one["value"] for one in box["env"]}
    (tmp_path / "labtune.yaml").write_text("engine: local\n")
    engine = load(tmp_path / "labtune.yaml", environment=environment).lab.engine
    assert (engine.kind, engine.address, engine.cpus_per_worker) == ("ray", "auto", 7)
    (worker,) = cluster["workerGroupSpecs"][0]["template"]["spec"]["containers"]
    assert engine.cpus_per_worker < int(worker["resources"]["requests"]["cpu"])


def test_the_teacher_fits_kubernetes_and_its_service_finds_it():
    deployment, service = documents("vllm.yaml")
    for document in (deployment, service):
        Draft202012Validator(schema("service.json")).validate(document)
    template = deployment["spec"]["template"]
    Draft202012Validator(pod_template()).validate(template)
    labels = template["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert service["spec"]["selector"].items() <= labels.items()
    (box,) = template["spec"]["containers"]
    assert service["spec"]["ports"][0]["targetPort"] in {port["name"] for port in box["ports"]}
    gpus = int(box["resources"]["limits"]["nvidia.com/gpu"])
    assert f"--tensor-parallel-size={gpus}" in box["args"]
    assert not any("key" in argument for argument in box["args"]), "a key on the command line is seen by all"


def test_the_slurm_script_is_a_script_with_options_that_sbatch_has():
    path = DEPLOY / "labtune.sbatch"
    subprocess.run(["bash", "-n", str(path)], check=True)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "#!/bin/bash"
    first_command = next(i for i, line in enumerate(lines) if line and not line.startswith("#"))
    directives = [i for i, line in enumerate(lines) if line.startswith("#SBATCH")]
    # sbatch reads no directive behind the first command.
    assert directives
    assert max(directives) < first_command
    for number in directives:
        option, _, value = lines[number].removeprefix("#SBATCH --").partition("=")
        assert option in SBATCH_OPTIONS, option
        form = SBATCH_OPTIONS[option]
        assert not value if form is None else re.fullmatch(form, value), lines[number]


@pytest.mark.parametrize(
    ("gpus", "told", "share"), [("4", "4", "8"), ("h100:2", "2", "16"), (None, "0", "1")]
)
def test_the_slurm_script_starts_ray_on_each_node_and_hands_on_labtunes_status(tmp_path, gpus, told, share):
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, text in {
        "scontrol": "echo n1; echo n2; echo n3",
        "srun": 'echo "srun $*" >> "$LOG"; [[ "$*" == *hostname* ]] && echo 10.0.0.7; true',
        "ray": 'echo "ray $*" >> "$LOG"',
        "labtune": 'until [[ $(grep -c "ray start" "$LOG") -ge 3 ]]; do sleep 0.01; done; '
        'echo "labtune $* $LABTUNE_ENGINE $LABTUNE_ENGINE__ADDRESS '
        '$LABTUNE_ENGINE__CPUS_PER_WORKER" >> "$LOG"; exit 5',
    }.items():
        (commands / name).write_text(f"#!/bin/bash\n{text}\n")
        (commands / name).chmod(0o755)
    environment = {
        "PATH": f"{commands}:{Path(shutil.which('bash') or '/bin/bash').parent}:/usr/bin:/bin",
        "LOG": str(tmp_path / "log"),
        "LAB": "/shared/my-lab",
        "SLURM_JOB_ID": "41",
        "SLURM_JOB_NODELIST": "n[1-3]",
        "SLURM_CPUS_PER_TASK": "32",
        **({"SLURM_GPUS_PER_NODE": gpus} if gpus else {}),
    }
    done = subprocess.run(
        ["bash", str(DEPLOY / "labtune.sbatch")], env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (5, "")
    log = (tmp_path / "log").read_text().splitlines()
    starts = [line for line in log if "ray start --block" in line]
    assert len(starts) == 3
    assert [("--head" in line, f"--num-gpus={told}" in line) for line in sorted(starts)] == [
        (True, True),
        (False, True),
        (False, True),
    ]
    assert log[-1] == f"labtune run --lab /shared/my-lab ray 10.0.0.7:20041 {share}"

"""Derive rayjob.json from KubeRay's custom resource definition.

    python deploy/schemas/derive.py ray.io_rayjobs.yaml > deploy/schemas/rayjob.json

The definition (1.4 MB, Apache-2.0) lies in https://github.com/ray-project/kuberay under
helm-chart/kuberay-operator/crds/. What is kept: the structure and types of a RayJob and, below its pod
templates, of the parts that deploy/ uses, closed against keys that do not exist. Of other parts only the type
is kept.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

COMMIT = "feeaf72facab4881ba2b179248bb67315634e229"
SOURCE = (
    "https://github.com/ray-project/kuberay/blob/"
    f"{COMMIT}/helm-chart/kuberay-operator/crds/ray.io_rayjobs.yaml (Apache-2.0), version v1"
)
POD_PARTS = {
    "containers",
    "volumes",
    "restartPolicy",
    "nodeSelector",
    "tolerations",
    "serviceAccountName",
    "imagePullSecrets",
    "terminationGracePeriodSeconds",
}
CONTAINER_PARTS = {
    "name",
    "image",
    "imagePullPolicy",
    "command",
    "args",
    "workingDir",
    "env",
    "envFrom",
    "ports",
    "resources",
    "volumeMounts",
    "readinessProbe",
    "livenessProbe",
    "startupProbe",
}
VOLUME_PARTS = {"name", "persistentVolumeClaim", "emptyDir", "configMap", "secret"}
JOB_PARTS = {"rayClusterSpec", "deletionStrategy"}
CLUSTER_PARTS = {"headGroupSpec", "workerGroupSpecs", "autoscalerOptions"}
DETAILED = {
    "spec.rayClusterSpec": CLUSTER_PARTS,
    "template.spec": POD_PARTS,
    "containers": CONTAINER_PARTS,
    "volumes": VOLUME_PARTS,
}


def derived(schema: dict[str, Any], path: str = "spec") -> dict[str, Any]:
    """The schema of a part without descriptions, closed, and shallow where nothing below is used."""
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    kept: dict[str, Any] = {name: schema[name] for name in ("type", "enum", "required") if name in schema}
    if "items" in schema:
        kept["items"] = derived(schema["items"], path)
    if "properties" in schema:
        wanted = next((parts for end, parts in DETAILED.items() if path.endswith(end)), None)
        kept["properties"] = {
            name: derived(value, f"{path}.{name}")
            if wanted is None or name in wanted
            else {"type": value.get("type", "object")}
            for name, value in schema["properties"].items()
        }
        kept["additionalProperties"] = False
    elif isinstance(schema.get("additionalProperties"), dict):
        kept["additionalProperties"] = derived(schema["additionalProperties"], path)
    return kept


def main() -> None:
    """Print the schema."""
    definition = yaml.safe_load(Path(sys.argv[1]).read_text(encoding="utf-8"))
    version = next(one for one in definition["spec"]["versions"] if one["name"] == "v1")
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["properties"] = {
        name: value if name in JOB_PARTS or value.get("type") != "object" else {"type": "object"}
        for name, value in spec["properties"].items()
    }
    schema = {
        "$comment": f"Derived by deploy/schemas/derive.py from {SOURCE}",
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": {"const": "ray.io/v1"},
            "kind": {"const": "RayJob"},
            "metadata": {"type": "object", "required": ["name"]},
            "spec": derived(spec),
        },
        "additionalProperties": False,
    }
    json.dump(schema, sys.stdout, sort_keys=True, separators=(",", ":"))


if __name__ == "__main__":
    main()

"""The chart as helm renders it; deploy/manifests/aws-k8s-cni.yaml is that with the default values."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

CHART: Final = Path(__file__).resolve().parents[3] / "aws-vpc-cni"
_KUBE_VERSION: Final = "1.34.0"
_HEAD: Final = """\
# aws-k8s-cni: pod networking with VPC addresses. Made from deploy/helm/aws-vpc-cni with its default values; do not edit.
#   kubectl apply -f aws-k8s-cni.yaml
# The CRD CNINode is not here: on EKS it belongs to the VPC resource controller.
"""


def find_helm(name: str = "helm") -> str | None:
    """helm (or helm4) on PATH, or where `make e2e` puts what it builds."""
    cache = Path(os.environ.get("VPCCNI_CACHE", Path.home() / ".cache/vpccni")) / "bin" / name
    return shutil.which(name) or (str(cache) if cache.exists() else None)


def template(helm: str, values: Mapping[str, Any], *arguments: str) -> subprocess.CompletedProcess[str]:
    """``helm template aws-vpc-cni CHART`` in kube-system; the caller looks at the return code."""
    command = [helm, "template", "aws-vpc-cni", str(CHART), "-n", "kube-system", "--kube-version", _KUBE_VERSION]
    given = yaml.safe_dump(dict(values))
    return subprocess.run([*command, "-f", "-", *arguments], input=given, capture_output=True, text=True, check=False)


def objects(helm: str, values: Mapping[str, Any], *arguments: str) -> list[dict[str, Any]]:
    """The rendered objects. Raises RuntimeError with helm's words."""
    done = template(helm, values, *arguments)
    if done.returncode:
        raise RuntimeError(done.stderr)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [document for document in yaml.load_all(done.stdout, loader) if document]


def render(helm: str) -> str:
    """Raises RuntimeError with helm's words."""
    done = template(helm, {}, "--include-crds")
    if done.returncode:
        raise RuntimeError(f"helm template: {done.stderr}")
    documents = [part.strip() for part in re.split(r"(?m)^---\n", done.stdout) if part.strip()]
    kept = [part for part in documents if "helm.sh/hook" not in part and "cninodes.vpcresources" not in part]
    cleaned = [re.sub(r"(?m)^# Source: .*\n", "", part) for part in kept]
    return _HEAD + "".join(f"---\n{part}\n" for part in cleaned)

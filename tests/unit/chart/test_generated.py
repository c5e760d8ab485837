"""What is generated is current, and the cases of impossible combinations are all that ipam knows."""

from __future__ import annotations

import itertools
import re

import pytest
from vpccni_chart import combinations, manifest, settings_table
from vpccni_chart.__main__ import REPO, generated
from vpccni_cli.migration.original_env import ORIGINAL


@pytest.mark.parametrize(("path", "text"), [pytest.param(p, t, id=str(p.relative_to(REPO))) for p, t in generated()])
def test_generated_files_are_current(path: object, text: str) -> None:
    assert (REPO / str(path)).read_text() == text, "run: .venv/bin/python -m vpccni_chart"


def test_manifest_is_current() -> None:
    helm = manifest.find_helm()
    if helm is None:
        pytest.skip("helm is not here (make e2e builds it)")
    assert (REPO / "deploy/manifests/aws-k8s-cni.yaml").read_text() == manifest.render(helm)


NAMES = sorted({name for case in combinations.CASES for name in case})
CHOICES = [("0", "1") if name.endswith("_TARGET") else ("true", "false") for name in NAMES]


def test_no_other_combination_is_impossible() -> None:
    rows = combinations.combinations()
    for values in itertools.product(*CHOICES):
        env = dict(zip(NAMES, values, strict=True))
        ours = [row["message"] for row in rows if _holds(row["when"], env)]
        assert "; ".join(str(message) for message in ours) == combinations.refusal(env), env


def _holds(when: object, env: dict[str, str]) -> bool:
    assert isinstance(when, dict)
    return when.items() <= env.items()


def test_every_variable_of_the_original_has_a_row() -> None:
    rows = settings_table.table()
    assert set(ORIGINAL) <= set(rows)
    assert all(row["services"] or name in ORIGINAL for name, row in rows.items())


def test_credentials_and_sdk_variables_are_free_misspellings_are_not() -> None:
    free = re.compile(settings_table.FREE)
    assert all(free.search(name) for name in ("AWS_REGION", "AWS_ENDPOINT_URL_EC2", "OTEL_SERVICE_NAME", "no_proxy"))
    assert not any(free.search(name) for name in ("AWS_VPC_K8S_CNI_X", "WARM_IP_TRAGET", "XAWS_REGION", "AWS_REGIONS"))

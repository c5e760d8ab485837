"""helm lint and helm template, with Helm 3 and Helm 4, for the defaults, each feature, and values files of users."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from chart_features import FEATURES
from vpccni_chart import manifest

USERS = {path.stem: path for path in sorted((Path(__file__).parent / "chart_values").glob("*.yaml"))}
HELM = manifest.find_helm()
HELM4 = manifest.find_helm("helm4")
BINARIES = [
    pytest.param(
        HELM, marks=pytest.mark.skipif(HELM is None, reason="helm 3 is not here (make e2e builds it)"), id="helm3"
    ),
    pytest.param(
        HELM4, marks=pytest.mark.skipif(HELM4 is None, reason="helm4 is not here (make e2e builds it)"), id="helm4"
    ),
]


@pytest.fixture(params=[*FEATURES, *USERS])
def values(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A values file."""
    if request.param in USERS:
        return USERS[request.param]
    made = tmp_path / "values.json"
    made.write_text(json.dumps(FEATURES[request.param]))
    return made


@pytest.mark.parametrize("helm", BINARIES)
def test_lint(helm: str, values: Path) -> None:
    more = ["-f", str(values)]
    command = [helm, "lint", "--strict", str(manifest.CHART), "--kube-version", "1.34.0", *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout


@pytest.mark.parametrize("helm", BINARIES)
def test_both_render_the_same(helm: str, values: Path) -> None:
    if HELM is None:
        pytest.skip("helm 3 is not here to compare with")
    more = ["-f", str(values)]
    theirs, ours = manifest.objects(helm, {}, *more), manifest.objects(HELM, {}, *more)
    key = lambda thing: (thing["kind"], thing["metadata"]["name"])  # noqa: E731
    assert sorted(theirs, key=key) == sorted(ours, key=key)
    assert any(thing["kind"] == "DaemonSet" for thing in theirs)


@pytest.mark.parametrize("helm", BINARIES)
def test_both_refuse_with_the_service_s_words(helm: str) -> None:
    done = manifest.template(helm, {"env": {"WARM_ENI_TARGET": "abc"}})
    assert done.returncode != 0
    assert "not an integer; allowed: 0 to 1048576" in done.stderr

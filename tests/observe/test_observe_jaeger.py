"""What a real Jaeger answers about ADDs that waited for growth. Needs the Jaeger that `make jaeger` builds."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from observed import Jaeger, MissingError, jaeger_binary
from PIL import Image
from vpccni_lab import lifecycle, state
from vpccni_lab.cli import main as vpclab
from vpccni_lab.client import LabClient
from vpccni_lab.runtime.pods import Pod
from vpccni_lab.trace import collector, jaeger, waterfall
from vpccni_lab.trace.spans import Span

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.go]
HERE = Path(__file__).resolve().parent
Seen = tuple[str, list[Pod], dict[str, list[Span]], LabClient]


def _show() -> ModuleType:
    spec = importlib.util.spec_from_file_location("show_jaeger", HERE / "show_jaeger.py")
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules["show_jaeger"] = made  # dataclasses look their module up
    spec.loader.exec_module(made)
    return made


show = _show()


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    if os.geteuid() != 0:
        pytest.skip("needs root (network namespaces)")
    if not (HERE.parents[1] / "build/aws-cni").is_file():
        pytest.skip("needs build/aws-cni (make plugin)")
    try:
        binary = jaeger_binary(build=False)
    except MissingError as missing:
        pytest.skip(f"needs {missing}")
    directory = tmp_path_factory.mktemp("jaeger")
    before = {name: os.environ.get(name) for name in (state.BASE_ENV, collector.FORWARD_ENV)}
    store = Jaeger(binary, directory / "log")
    os.environ.update({state.BASE_ENV: str(directory / "labs"), collector.FORWARD_ENV: store.otlp})
    name = f"e2j{os.getpid()}"
    try:
        with lifecycle.up(show.spec(name), lambda text: None) as lab:
            pods = show.run_pods(lab)
            yield store.url, pods, show.read_back(store.url, pods), lab
    finally:
        lifecycle.down(name, lambda text: None)
        store.stop()
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value


def test_every_promise_about_traces_holds_in_jaeger(seen: Seen) -> None:
    rows = list(show.checks(seen[2], show.growths(seen[0], seen[2])))
    assert len(rows) > 10
    assert [(row.what, row.expected, row.observed) for row in rows if not row.ok] == []


def test_a_pod_is_found_by_its_name(seen: Seen) -> None:
    url, pods, _, _ = seen
    found = jaeger.search(url, "ipam", "ipam.AddPod", {"k8s.pod.name": pods[0].name, "k8s.namespace.name": "default"})
    assert [spans[0].trace_id for spans in found] == [pods[0].trace_id]


def test_jaeger_and_the_lab_s_collector_agree(seen: Seen) -> None:
    _, pods, traces, lab = seen
    for pod in pods[:3]:
        ours = {
            (span.span_id, span.name, span.service, span.parent_id) for span in lab.spans(pod.trace_id, has="cni.add")
        }
        assert {(span.span_id, span.name, span.service, span.parent_id) for span in traces[pod.name]} <= ours


def test_start_up_is_traced(seen: Seen) -> None:
    (found,) = jaeger.search(seen[0], "ipam", "ipam.start_up", {})
    assert {"ipam", "netconf", "eni-manager"} <= {span.service for span in found}


def test_the_picture_has_a_bar_for_every_span(seen: Seen, tmp_path: Path) -> None:
    spans = show.growing_trace(seen[2])
    waterfall.draw(spans, tmp_path / "trace.png", "title")
    with Image.open(tmp_path / "trace.png") as picture:
        assert picture.height > 26 * len(spans)
        colours = {colour for _, colour in picture.getcolors(1 << 16) or ()}
    assert {(0x6A, 0x4C, 0x93), (0x19, 0x76, 0xA3), (0x2A, 0x9D, 0x62), (0xD9, 0x82, 0x2B)} <= colours


def test_vpclab_draws_what_jaeger_answers(seen: Seen, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url, pods, _, lab = seen
    arguments = ["trace", pods[0].name, "--jaeger", url, "--png", str(tmp_path / "pod.png"), "-l", lab.state.name]
    assert vpclab.main(arguments) == 0
    assert f"trace {pods[0].trace_id}" in capsys.readouterr().out
    with Image.open(tmp_path / "pod.png") as picture:
        assert picture.width == 1400

"""``vpclab page``: the VPC and the node pages of a real lab, by HTTP and in headless Chromium."""

from __future__ import annotations

import http.client
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator

import pytest
from vpccni_lab.client import LabClient
from vpccni_lab.page.serve import Pages, server
from vpccni_lab.runtime import pods as podlib
from vpccni_lab.runtime.pods import Pod

from .conftest import FAST, ONE_NODE

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def lab(make_lab: Callable[..., LabClient]) -> LabClient:
    return make_lab(nodes=ONE_NODE, env=FAST)


@pytest.fixture(scope="module")
def port(lab: LabClient) -> Iterator[int]:
    made = server(Pages(lab), 0)
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    try:
        yield made.server_port
    finally:
        made.shutdown()
        made.server_close()
        thread.join()


def get(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_the_vpc_and_the_node_show_a_pod_and_what_is_throttled(lab: LabClient, port: int) -> None:
    fault = lab.add_fault({"kind": "throttle", "one_in": 2, "actions": ["AssignPrivateIpAddresses", "CreateNetwork*"]})
    try:
        with lab.pods("node-a") as pods:
            started = pods.run([podlib.new_pod("node-a", f"cl-page-{number}") for number in range(12)])
            pod = started[0]
            assert isinstance(pod, Pod), started
            status, text = get(port, "/")
            assert status == 200 and f"{pod.address} secondary " in text and 'href="/node/node-a"' in text
            assert "RequestLimitExceeded" in text and "<td class=bad>throttle" in text
            status, text = get(port, "/node/node-a")
            assert status == 200 and f"{pod.address} assigned {pod.namespace}/{pod.name}" in text
            assert "EC2 budget" in text and "<td>CreateNetworkInterface<td>" in text
    finally:
        lab.clear_faults(fault)


def test_unknown_pages_and_a_node_without_ipam_are_said(lab: LabClient, port: int) -> None:
    status, text = get(port, "/node/node-z")
    assert status == 404 and "allowed are /, /node/node-a" in text
    lab.service("node-a", "ipam", "stop")
    try:
        status, text = get(port, "/node/node-a")
        assert status == 502 and text.startswith("IPAM_UNREACHABLE")
        assert "ipam down" in get(port, "/")[1]
    finally:
        lab.service("node-a", "ipam", "start")
        lab.wait_ready("node-a")


def test_a_browser_draws_the_page_that_the_command_serves(lab: LabClient) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    command = [sys.executable, "-m", "vpccni_lab.cli.main", "page", "--lab", lab.state.name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as serving, tempfile.TemporaryDirectory() as home:
        try:
            assert serving.stdout is not None
            url = serving.stdout.readline().split()[-1]
            words = [
                chromium,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                f"--user-data-dir={home}",
                "--dump-dom",
                url,
            ]
            dom = subprocess.run(words, capture_output=True, text=True, timeout=90, check=True).stdout
        finally:
            serving.terminate()
    assert 'class="primary" title=' in dom and "AssignPrivateIpAddresses" in dom and "node-a</a>" in dom

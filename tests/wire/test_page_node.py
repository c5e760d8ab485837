"""The introspection's ``/``: a page for a browser, JSON for everybody else."""

from __future__ import annotations

import asyncio
import html.parser
import json
import shutil
import subprocess
import tempfile
import urllib.request
from typing import Any

import pytest
from vpccni_api.eni.v1 import eni_pb2
from vpccni_api.ipam.v1 import ipam_pb2 as pb
from vpccni_api.reasons import Reason, ReasonError
from wire_ipam import World, run, until

pytestmark = pytest.mark.wire
_BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


def get(port: int, accept: str, path: str = "/") -> tuple[str, str]:
    asked = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Accept": accept})
    with urllib.request.urlopen(asked, timeout=10) as answer:
        return str(answer.headers["Content-Type"]), answer.read().decode()


class Elements(html.parser.HTMLParser):
    """Classes of the address cells, their titles, and every attribute that would fetch something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells: list[tuple[str, str]] = []
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "i" and given.get("title"):
            self.cells.append((str(given["class"]), str(given["title"])))
        if tag in ("script", "link", "img", "iframe") or "src" in given:
            self.fetched.append(tag)


def test_the_page_shows_pods_and_failures_and_fetches_nothing() -> None:
    async def body(world: World) -> None:
        async def page(accept: str, path: str = "/") -> tuple[str, str]:
            return await asyncio.to_thread(get, world.introspection_port, accept, path)

        address = await world.address("web")
        gone = await world.address("gone")
        await world.delete("gone")
        await world.settled()
        kind, text = await page(_BROWSER)
        assert kind == "text/html; charset=utf-8"
        shown = Elements(text)
        assert any(c == "assigned" and t.startswith(f"{address} assigned default/web") for c, t in shown.cells)
        assert any(c == "cooling" and t.startswith(f"{gone} cooling") for c, t in shown.cells)
        assert len(shown.cells) == (await world.inspect()).total
        assert shown.fetched == [] and "://" not in text

        for accept in ("*/*", "application/json"):
            kind, text = await page(accept)
            assert kind == "application/json" and "/v1/enis" in json.loads(text)["AvailableCommands"]
        kind, _ = await page(_BROWSER, "/v1/enis")
        assert kind == "application/json"

        world.manager.error = ReasonError(Reason.SUBNET_FULL, "subnet-1 <b>has no</b> free address")
        for number in range(9):
            await world.address(f"more-{number}")

        async def failed() -> Any:
            return (await world.inspect()).growth.last_reason

        await until(failed, world.log)
        traced = pb.AddPodRequest(
            key=pb.PodInterface(network_name="aws-cni", container_id="c-traced", ifname="eth0"),
            pod=pb.PodIdentity(namespace="default", name="traced", uid="u"),
            netns="/run/netns/traced",
            plugin_version="0.1.0",
        )
        await world.stub.AddPod(traced, timeout=20, metadata=(("traceparent", f"00-{'ab' * 16}-{'cd' * 8}-01"),))
        with pytest.raises(ReasonError):
            await world.add("bad", conf=pb.PodNetConf(mtu=1))
        _, text = await page(_BROWSER)
        assert text.partition("The last ADDs")[2].count("<tr><td>") == 13, "one line for each ADD"
        assert "REQUEST_INVALID" in text and f"<code>{'ab' * 16}</code>" in text
        assert "SUBNET_FULL" in text and "&lt;b&gt;has no&lt;/b&gt;" in text and "<b>has no" not in text

    run(body)


def test_the_page_shows_the_ec2_budget_and_what_is_throttled() -> None:
    async def body(world: World) -> None:
        world.manager.inspect = eni_pb2.InspectResponse(
            classes=[eni_pb2.ApiClassView(api_class="address", level=0.5, rate=0.625, ceiling=5, burst=10)],
            apis=[eni_pb2.ApiView(api="AssignPrivateIpAddresses", calls=9, errors=3, throttled=3)],
            subnets=[eni_pb2.SubnetView(subnet_id="subnet-7", free=3, refused_why="no <tag>")],
        )
        _, text = await asyncio.to_thread(get, world.introspection_port, _BROWSER)
        assert "<tr><td>address<td><span class=bad>0.62/s</span><td>5/s<td>0.5" in text
        assert "<tr><td>AssignPrivateIpAddresses<td>9<td>3<td><span class=bad>3</span>" in text
        assert "<tr><td>subnet-7<td><td>3<td>no &lt;tag&gt;" in text
        assert "<tr><th>addresses kept at most<td>29" in text and "<tr><th>DELs queued on disk<td>0" in text
        await world.manager_leaf.stop()
        _, text = await asyncio.to_thread(get, world.introspection_port, _BROWSER)
        assert "ENI_MANAGER_UNREACHABLE" in text.partition("EC2 budget")[2]

    run(body)


def test_a_browser_gets_and_draws_the_page() -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")

    def browse(port: int) -> str:
        with tempfile.TemporaryDirectory(prefix="e1-") as profile:
            done = subprocess.run(
                [
                    chromium,
                    "--headless",
                    "--no-sandbox",
                    "--disable-gpu",
                    f"--user-data-dir={profile}/profile",
                    "--dump-dom",
                    f"http://127.0.0.1:{port}/",
                ],
                capture_output=True,
                text=True,
                timeout=90,
                check=True,
            )
            return done.stdout

    async def body(world: World) -> None:
        address = await world.address("web")
        await world.settled()
        dom = await asyncio.to_thread(browse, world.introspection_port)
        shown = Elements(dom)
        assert [t for c, t in shown.cells if c == "assigned" and t.startswith(f"{address} assigned default/web")]
        assert "The last ADDs" in dom and "AvailableCommands" not in dom

    run(body)

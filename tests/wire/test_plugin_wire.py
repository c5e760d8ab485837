"""The static plugin binary and the real ipam process: the life of a pod, and a DEL while ipam is away."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import pathlib
import subprocess
import sys
from typing import Any

import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def load(name: str, path: pathlib.Path) -> Any:
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


harness = load("ipam_harness", pathlib.Path(__file__).with_name("ipam_harness.py"))
build = load("plugin_build", REPOSITORY / "plugin" / "build.py")

pytestmark = [pytest.mark.wire, pytest.mark.skipif(bool(build.missing()), reason=build.missing() or "built")]


async def cni(world: Any, command: str, name: str, **config: Any) -> tuple[int, Any]:
    """Exit status and what was printed."""
    conf = {
        "cniVersion": "1.1.0",
        "name": "aws-cni",
        "type": "aws-cni",
        "ipamSocket": world.socket,
        "pendingDelDir": str(world.pending),
        "pluginLogFile": str(world.path / "plugin.log"),
        **config,
    }
    environment = {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": f"c-{name}",
        "CNI_NETNS": "/proc/self/ns/net",
        "CNI_IFNAME": "eth0",
        "CNI_ARGS": f"K8S_POD_NAMESPACE=default;K8S_POD_NAME={name};K8S_POD_UID=u-{name}",
    }

    def call() -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [str(build.OUTPUT)], input=json.dumps(conf).encode(), capture_output=True, env=environment, timeout=90
        )

    done = await asyncio.to_thread(call)
    assert done.stderr == b""
    return done.returncode, json.loads(done.stdout) if done.stdout else None


@pytest.fixture(autouse=True, scope="module")
def binary() -> None:
    subprocess.run([sys.executable, str(REPOSITORY / "plugin" / "build.py")], check=True, capture_output=True)


def test_life_of_a_pod() -> None:
    async def body(world: Any) -> None:
        assert await cni(world, "STATUS", "a") == (0, None)
        status, result = await cni(world, "ADD", "a")
        assert status == 0
        address = world.stored()["c-a"]
        host_veth = result["interfaces"][0]["name"]
        assert host_veth.startswith("eni")
        assert len(host_veth) == 14
        assert result == {
            "cniVersion": "1.1.0",
            "interfaces": [
                {"name": host_veth},
                {"name": "eth0", "mac": "254", "sandbox": "/proc/self/ns/net"},
                {"name": "dummy" + host_veth[3:], "mac": "0", "sandbox": "0"},
            ],
            "ips": [{"interface": 1, "address": f"{address}/32"}],
            "dns": {},
        }
        assert await cni(world, "ADD", "a") == (0, result)
        assert await cni(world, "CHECK", "a", prevResult=result) == (0, None)
        assert await cni(world, "DEL", "a", prevResult=result) == (0, None)
        assert world.stored() == {}
        assert await cni(world, "DEL", "a", prevResult=result) == (0, None)

    harness.run(body)


def test_gc_releases_what_is_not_listed() -> None:
    async def body(world: Any) -> None:
        for name in ("a", "b"):
            assert (await cni(world, "ADD", name))[0] == 0
        kept = [{"containerID": "c-b", "ifname": "eth0"}]
        assert await cni(world, "GC", "a", **{"cni.dev/valid-attachments": kept}) == (0, None)
        assert list(world.stored()) == ["c-b"]

    harness.run(body)


def test_del_while_ipam_is_away_is_done_after_its_start() -> None:
    async def body(world: Any) -> None:
        status, result = await cni(world, "ADD", "a")
        assert status == 0
        await world.kill()
        status, error = await cni(world, "ADD", "b")
        assert (status, error["code"]) == (1, 11)
        assert "IPAM_UNREACHABLE" in error["msg"]
        assert await cni(world, "DEL", "a", prevResult=result) == (0, None)
        assert [path.name for path in world.pending.iterdir()] == ["c-a-eth0.json"]
        assert list(world.stored()) == ["c-a"]
        await world.start()

        async def drained() -> bool:
            return world.stored() == {} and not list(world.pending.glob("*.json"))

        await harness.until(drained, world.log)
        assert world.netconf.pods == {}

    harness.run(body)


def test_more_pods_than_the_instance_holds() -> None:
    """m5.large in small: what does not fit fails with the reason, and keeps the sentence that users search for."""

    async def body(world: Any) -> None:
        answers = await asyncio.gather(*(cni(world, "ADD", str(number)) for number in range(12)))
        refused = [error for status, error in answers if status]
        assert len(refused) == 3  # one ENI of ten addresses, its first for the node
        for error in refused:
            assert error["msg"].startswith("add cmd: failed to assign an IP address to container: ENI_LIMIT: ")
            assert error["code"] == 11
        assert len(set(world.stored().values())) == 9

    harness.run(body, MAX_ENI="1")

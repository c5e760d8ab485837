"""``vpccni status|explain|verify`` as processes against the real ipam."""

from __future__ import annotations

import asyncio
import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import pytest
from vpccni_api.ipam.v1 import ipam_pb2 as pb
from vpccni_api.reasons import Reason, ReasonError
from vpccni_cli.text import WIDTH
from wire_ipam import World, run, until

pytestmark = pytest.mark.wire


def cli(*words: str, socket: str = "/nowhere.sock") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vpccni_cli", *words],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "VPCCNI_IPAM_SOCKET": socket},
    )


async def asked(world: World, *words: str, status: int = 0) -> str:
    done = await asyncio.to_thread(cli, *words, socket=world.socket)
    assert (done.returncode, done.stderr) == (status, ""), done
    assert all(len(line) <= WIDTH for line in done.stdout.splitlines()) or "json" in words, done.stdout
    return done.stdout


async def asked_json(world: World, *words: str, status: int = 0) -> Any:
    return json.loads(await asked(world, *words, "--output", "json", status=status))


def test_a_node_with_a_pod() -> None:
    async def body(world: World) -> None:
        address = await world.address("web")
        await world.settled()
        seen = await asked_json(world, "status")
        assert (seen["assigned"], seen["quarantined"]) == (1, 0)
        assert seen["total"] == seen["assigned"] + seen["free"] + seen["cooling"]
        text = await asked(world, "status")
        assert "1 assigned" in text and "eni-0" in text and "netconf" in text
        pod = await asked_json(world, "explain", "pod", "default/web")
        (interface,) = pod["interfaces"]
        assert (interface["address"], interface["eni"]["eni_id"], interface["problem"]) == (address, "eni-0", None)
        assert address in await asked(world, "explain", "pod", "default/web")
        assert pod["last_add"]["reason"] == "" and pod["last_add"]["pod"] == "default/web"
        assert await asked_json(world, "verify") == {"checked": 1, "wrong": []}
        with pytest.raises(ReasonError):
            await world.add("bad", conf=pb.PodNetConf(mtu=1))
        assert "1 of 2 failed" in await asked(world, "status")
        said = await asked_json(world, "explain", "pod", "default/bad", status=1)
        assert said["causes"][0]["reason"] == "REQUEST_INVALID" and said["last_add"]["reason"] == "REQUEST_INVALID"
        assert "the pod's last ADD failed" in await asked(world, "explain", "pod", "default/bad", status=1)

        world.netconf.pods.clear()
        wrong = await asked_json(world, "verify", status=1)
        assert wrong["wrong"][0]["problem"]["reason"] == "STATE_DIFFERS"
        assert "STATE_DIFFERS: link missing" in await asked(world, "verify", status=1)
        assert "STATE_DIFFERS: link missing" in await asked(world, "explain", "pod", "default/web", status=1)

    run(body)


def test_why_a_pod_has_no_address() -> None:
    async def body(world: World) -> None:
        world.manager.error = ReasonError(Reason.IAM_DENIED, "ec2:CreateNetworkInterface: not authorized")
        world.spawn()

        async def failed() -> bool:
            try:
                return bool((await world.inspect()).growth.last_reason)
            except ReasonError:
                return False

        await until(failed, world.log)
        said = await asked_json(world, "explain", "pod", "default/web", status=1)
        assert said["interfaces"] == [] and said["causes"][-1]["reason"] == "IAM_DENIED"
        text = await asked(world, "status", status=1)
        assert "IAM_DENIED: ec2:CreateNetworkInterface: not authorized" in text and "docs/iam-policy.md" in text
        doctor = await asked_json(world, "doctor", "--root", str(world.path), "--proc", str(world.path), status=1)
        growth = next(item for item in doctor["checks"] if item["check"] == "growth")
        assert growth["ok"] is False and growth["detail"].startswith("IAM_DENIED: ") and growth["cure"]

    run(body, started=False)


def test_doctor_names_malformed_settings_of_ipam() -> None:
    async def body(world: World) -> None:
        doctor = await asked_json(world, "doctor", "--root", str(world.path), "--proc", str(world.path), status=1)
        found = {item["check"]: item for item in doctor["checks"]}
        told = found["setting WARM_ENI_TARGET"]
        assert told["ok"] is False and told["cure"]
        assert told["detail"].startswith("ipam: WARM_ENI_TARGET='many': ")
        assert not any(name.startswith("setting ") for name in found.keys() - {"setting WARM_ENI_TARGET"})

    run(body, WARM_ENI_TARGET="many")


def test_a_full_node_is_told_as_the_limit_of_its_instance() -> None:
    async def body(world: World) -> None:
        for number in range(9):
            await world.address(f"web-{number}")
        said = await asked_json(world, "explain", "pod", "default/late", status=1)
        assert [cause["reason"] for cause in said["causes"]] == ["ENI_LIMIT"]
        assert said["causes"][0]["cure"]

    run(body, MAX_ENI="1")


@pytest.mark.parametrize("command", [("status",), ("verify",), ("explain", "pod", "a/b")])
def test_no_ipam_is_a_reason_with_a_cure(command: tuple[str, ...], tmp_path: pathlib.Path) -> None:
    done = cli(*command, "--output", "json", socket=str(tmp_path / "none.sock"))
    assert done.returncode == 1
    error = json.loads(done.stdout)["error"]
    assert error["reason"] == "IPAM_UNREACHABLE" and error["cure"]

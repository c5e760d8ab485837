"""``kubectl vpccni``: the real plugin, with a kubectl that runs what it is asked to exec on this machine."""

from __future__ import annotations

import asyncio
import json
import os
import pathlib
import subprocess
import sys
import tarfile

import pytest
from wire_ipam import World, run

pytestmark = pytest.mark.wire
_FOLDER = pathlib.Path(__file__).parents[2] / "deploy/cli"
_PODS = "aws-node-x1 node-a\naws-node-x2 node-b\n"
# Two nodes: node-a is the world's, node-b has no ipam. A pod default/web runs on node-a, default/late on none.
_KUBECTL = f"""#!{sys.executable}
import os, subprocess, sys
words = sys.argv[1:]
with open(os.environ["ASKED"], "a") as log:
    log.write(" ".join(words) + "\\n")
if words[:2] == ["--context", "prod"]:
    words = words[2:]
namespace, words = words[1], words[2:]
assert namespace == ("default" if words[:2] == ["get", "pod"] else "kube-system"), namespace
if words[:2] == ["get", "pods"]:
    node = next(w for w in words if w.startswith("status.phase=Running")).partition("spec.nodeName=")[2]
    lines = [line for line in {_PODS!r}.splitlines() if not node or line.endswith(" " + node)]
    sys.stdout.write("".join(line + "\\n" for line in lines))
elif words[:2] == ["get", "pod"]:
    sys.stdout.write("node-a" if words[2] == "web" else "")
elif words[0] == "logs":
    if "--previous" in words:
        sys.exit(1)
    sys.stdout.write("log of " + words[1] + " token=t0ps3cret\\n")
elif words[0] == "exec":
    pod = next(w for w in words if w.startswith("aws-node-"))
    command = words[words.index("--") + 1:]
    assert command[0] == "vpccni", command
    socket = os.environ["IPAM"] if pod == "aws-node-x1" else "/nowhere.sock"
    env = {{**os.environ, "VPCCNI_IPAM_SOCKET": socket, "MY_NODE_NAME": pod.replace("aws-node-x1", "node-a").replace("aws-node-x2", "node-b")}}
    sys.exit(subprocess.run([sys.executable, "-m", "vpccni_cli", *command[1:]], env=env).returncode)
else:
    sys.exit("kubectl: " + " ".join(words))
"""


def plugin(folder: pathlib.Path, socket: str, *words: str) -> subprocess.CompletedProcess[str]:
    (folder / "bin").mkdir(exist_ok=True)
    kubectl = folder / "bin/kubectl"
    kubectl.write_text(_KUBECTL)
    kubectl.chmod(0o755)
    env = {**os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}", "IPAM": socket, "ASKED": str(folder / "asked")}
    return subprocess.run(
        [str(_FOLDER / "kubectl-vpccni"), *words], env=env, cwd=folder, capture_output=True, text=True, timeout=90,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_commands_reach_the_pod_of_the_right_node(tmp_path: pathlib.Path) -> None:
    async def body(world: World) -> None:
        async def asked(*words: str) -> subprocess.CompletedProcess[str]:
            return await asyncio.to_thread(plugin, tmp_path, world.socket, *words)

        await world.address("web")
        await world.settled()
        done = await asked("--context", "prod", "--node", "node-a", "status", "--output", "json")
        assert (done.returncode, done.stderr) == (0, "") and json.loads(done.stdout)["assigned"] == 1
        done = await asked("explain", "pod", "default/web")
        assert done.returncode == 0 and "as recorded" in done.stdout, done
        done = await asked("explain", "SUBNET_FULL")
        assert done.returncode == 0 and done.stdout.startswith("SUBNET_FULL"), done
        done = await asked("--node=node-b", "status")
        assert done.returncode == 1 and "IPAM_UNREACHABLE" in done.stdout, done

        done = await asked("top", "nodes", "--output", "json")
        said = json.loads(done.stdout)
        assert done.returncode == 1 and [one["node"] for one in said["silent"]] == ["node-b"]
        assert [one["assigned"] for one in said["nodes"] if "error" not in one] == [1]
        done = await asked("top", "subnets")
        assert done.returncode == 1 and "held" in done.stdout and "node-b: IPAM_UNREACHABLE" in done.stdout, done

        done = await asked("bundle", "out")
        assert (done.returncode, done.stdout) == (0, "out\n"), done
        made = {path.name for path in (tmp_path / "out").iterdir()}
        logs = {f"{node}-{name}.log" for node in ("node-a", "node-b") for name in ("ipam", "netconf", "eni-manager")}
        assert made == {"node-a.tar.gz", "node-b.tar.gz"} | logs
        assert (tmp_path / "out/node-a-ipam.log").read_text() == "log of aws-node-x1 token=***\n"
        with tarfile.open(tmp_path / "out/node-a.tar.gz") as archive:
            assert any(name.endswith("/ipam.json") for name in archive.getnames())

    run(body)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["status"], "several nodes; allowed: --node with one of: node-a node-b"),
        (["--node", "node-z", "status"], "no running pod with k8s-app=aws-node in kube-system on node node-z"),
        (["explain", "pod", "web"], "pod 'web'; allowed: NAMESPACE/NAME"),
        (["explain", "pod", "default/late"], "pod default/late is not scheduled to a node yet"),
        (["remove"], "unknown command 'remove'; allowed: status"),
        (["--nod", "a", "status"], "unknown option --nod"),
        (["--node"], "--node needs a value"),
        ([], "kubectl vpccni [--node NODE] COMMAND"),
    ],
)
def test_what_cannot_be_done_is_said(words: list[str], says: str, tmp_path: pathlib.Path) -> None:
    done = plugin(tmp_path, "/nowhere.sock", *words)
    assert done.returncode == 2 and says in done.stderr, done


def test_the_real_kubectl_finds_the_plugin() -> None:
    kubectl = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "vpccni/bin/kubectl"
    if not kubectl.exists():
        pytest.skip("no kubectl in the cache (make e2e fetches it)")
    env = {**os.environ, "PATH": f"{_FOLDER}:{os.environ['PATH']}"}
    done = subprocess.run([str(kubectl), "vpccni", "--help"], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout.startswith("kubectl vpccni [--node NODE] COMMAND"), done

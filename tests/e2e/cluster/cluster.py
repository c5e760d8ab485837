"""The whole: lab, parts, control plane, two workers; up, and down again from any state."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from vpccni_api.reasons import ReasonError
from vpccni_lab import lifecycle
from vpccni_lab.client import LabClient
from vpccni_lab.fabric import namespaces
from vpccni_lab.linux import syscalls
from vpccni_lab.spec import LabSpec, NodeSpec, SubnetSpec

from cluster import cgroups, janitor, mkimage, node, parts
from cluster.api import Api
from cluster.controlplane import ControlPlane
from cluster.processes import Processes, end_recorded
from cluster.sh import CommandError, Steps, run, until

STATE: Final = Path(os.environ.get("VPCCNI_E2E_STATE") or "/var/tmp/vpccni-e2e")
LAB: Final = os.environ.get("VPCCNI_E2E_LAB", "e2e")
CONTROL: Final = "control"
WORKERS: Final = ("node-a", "node-b")
SERVICE_IMAGES: Final = ("eni-manager", "ipam", "netconf", "init", "metrics-helper")
PROBE: Final = "localhost/e2e/probe:1"
BUSYBOX: Final = "localhost/e2e/busybox:1"
MAX_PODS: Final = 58  # m5.xlarge: 4 ENIs of 14 addresses, and two pods on the host's network

# What kubelet changes for the whole machine; put back by ``down``.
_SYSCTLS: Final = (
    "vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
)  # fmt: skip

_ROOMY_KB: Final = 8 << 20

Progress = Callable[[str], None]


def lab_spec() -> LabSpec:
    """Two workers in two zones and a host for the control plane; what wires pods comes by Helm, not by the lab."""
    return LabSpec(
        name=LAB,
        subnets=(
            SubnetSpec("a", "10.0.1.0/24", "us-west-2a"),
            SubnetSpec("b", "10.0.2.0/24", "us-west-2b"),
            SubnetSpec("pods", "10.1.1.0/24", "us-west-2a"),
            SubnetSpec("pods-b", "10.1.2.0/24", "us-west-2b"),
        ),
        nodes=(
            NodeSpec("node-a", "a", "m5.xlarge", cni="none"),
            NodeSpec("node-b", "b", "m5.xlarge", cni="none"),
            NodeSpec(CONTROL, "a", "m5.xlarge", cni="none"),
        ),
        traces=False,
    )


class Cluster:
    """A running cluster. ``kubectl`` and ``helm`` run on the control plane's host."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.logs = STATE / "logs"
        self.processes = Processes(self.logs, STATE / "processes")
        self.lab: LabClient
        self.control: ControlPlane
        self.api: Api
        self.workers: dict[str, node.Worker] = {}
        self.janitor: janitor.Janitor | None = None
        self.sysctls: dict[str, str] = {}

    # up and down

    def up(self) -> None:
        """Raises CommandError, ReasonError, TimeoutError; ``down`` cleans up whatever was started."""
        missing = parts.missing_tools()
        if missing or os.geteuid() != 0:
            raise CommandError(f"needs root and {', '.join(missing) or 'nothing else'}")
        self.sysctls = _remember_sysctls()
        self.janitor = janitor.start(STATE / "janitor.json")
        _disks_in_memory()
        said = _say
        with self.steps.step("parts: Kubernetes, Helm, probe, Debian packages"):
            binaries = parts.kubernetes(said)
            parts.helm(3, said)
            parts.helm(4, said)
            debian = parts.debian(said)
        with self.steps.step("images of the test pods"):
            self._images(debian)
        with self.steps.step("VPC lab: two nodes and a host for the control plane"):
            self.lab = lifecycle.up(lab_spec(), said)
        with self.steps.step("control plane answers"):
            host = self.lab.node(CONTROL)
            netns = namespaces.path(LAB, CONTROL)
            self.control = ControlPlane(
                binaries, debian / "usr/bin/etcd", netns, host.address, STATE / "shared", self.processes
            )
            self.api = self.control.api()
            self.control.start_store()
            self._workers(debian)
            until("the API server is ready", 90, lambda: self.api.text("/readyz"))
            self.control.start_controllers()
        with self.steps.step("both nodes are registered and have the images"):
            until("both nodes are registered", 120, self._registered)
            until("all images are imported", 120, lambda: all(worker.imported for worker in self.workers.values()))
            until("the default service account is there", 60, lambda: self.get("serviceaccounts"))

    def _images(self, debian: Path) -> None:
        images = STATE / "images"
        images.mkdir(parents=True, exist_ok=True)
        mkimage.make(images / "pause.tar", node.PAUSE, {"pause": parts.pause(_say)}, ["/pause"])
        mkimage.make(images / "probe.tar", PROBE, {"probe": parts.go_program("probe", _say)}, ["/probe"])
        busybox = debian / "bin/busybox"
        links: dict[str, Path | str] = {"bin/busybox": busybox}
        links |= {f"bin/{name}": "busybox" for name in run(busybox, "--list").split() if name != "busybox"}
        mkimage.make(images / "busybox.tar", BUSYBOX, links, ["/bin/sh"])
        for name in SERVICE_IMAGES:
            shutil.copy2(parts.REPO / f"build/images/{name}.tar", images / f"{name}.tar")

    def _workers(self, debian: Path) -> None:
        shared = STATE / "shared"
        (shared / "containerd.toml").write_text(node.containerd_config())
        zones = {spec.name: lab_spec().subnet(spec.subnet).az for spec in lab_spec().nodes}
        for name in WORKERS:
            host = self.lab.node(name)
            worker = node.Worker(LAB, name, host.address, zones[name], host.instance_id, STATE, self.processes, debian)
            worker.configure(self.control.pki, MAX_PODS)
            worker.start()
            self.workers[name] = worker

    def _registered(self) -> bool:
        found = {item["metadata"]["name"] for item in self.get("nodes")}
        return set(WORKERS) <= found

    def close(self) -> None:
        """Stops everything of this object's, then removes what is left. Idempotent; Ctrl-C does not interrupt it."""
        with uninterrupted():
            self.processes.stop_all(grace=0)
            with contextlib.suppress(AttributeError):
                self.api.close()
            with contextlib.suppress(AttributeError):
                self.lab.close()
            down()
            if self.janitor is not None:
                self.janitor.dismiss()

    # use

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = 120.0) -> str:
        """As cluster-admin. Raises CommandError."""
        return self._on_control("kubectl", "--request-timeout=20s", *arguments, stdin=stdin, timeout=timeout)

    def kubectl_vpccni(self, *arguments: str, timeout: float = 120.0) -> str:
        """The kubectl plugin, found on the PATH as a user has it. Raises CommandError."""
        return self._on_control("kubectl", "vpccni", *arguments, timeout=timeout)

    def helm(self, *arguments: str, version: int = 3, timeout: float = 300.0) -> str:
        """Raises CommandError."""
        return self._on_control("helm" if version == 3 else f"helm{version}", *arguments, timeout=timeout)

    def _on_control(self, program: str, *arguments: str, stdin: str | None = None, timeout: float) -> str:
        config = self.control.pki.kubeconfig("admin")
        home = STATE / "home"
        home.mkdir(exist_ok=True)
        path = f"{parts.BIN}:{parts.REPO / 'deploy/cli'}:{os.environ['PATH']}"
        env = os.environ | {"KUBECONFIG": str(config), "HOME": str(home), "PATH": path}
        place = ("nsenter", f"--net={namespaces.path(LAB, CONTROL)}")
        return run(*place, parts.BIN / program, *arguments, stdin=stdin, env=env, timeout=timeout)

    def apply(self, *objects: dict[str, Any]) -> None:
        """Server-side apply of objects."""
        for item in objects:
            self.api.apply(item)

    def get(self, what: str, *arguments: str) -> list[dict[str, Any]]:
        """Items as of ``kubectl get what -o json``."""
        return self.api.get(what, *arguments)

    def keep_logs(self, target: Path) -> None:
        """Copies every log, and what the API server knows, into one folder."""
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for source, name in (
            (self.logs, "control"),
            *(
                (w.state / sub, f"{w.name}/{sub}")
                for w in self.workers.values()
                for sub in ("log", "plugin-log", "pod-logs")
            ),
        ):
            if source.exists():
                shutil.copytree(source, target / name, dirs_exist_ok=True, ignore_dangling_symlinks=True)
        with contextlib.suppress(AttributeError):
            shutil.copytree(self.lab.state.logs, target / "lab", dirs_exist_ok=True)
        for what in ("nodes", "pods -A", "events -A", "daemonsets -A", "cninodes -A"):
            with contextlib.suppress(Exception):
                (target / f"{what.split()[0]}.yaml").write_text(self.kubectl("get", *what.split(), "-o", "yaml"))
        for worker in self.workers.values():
            for name, command in (
                ("rules", "ip rule"),
                ("routes", "ip route show table all"),
                ("links", "ip addr"),
                ("filter", "iptables-save"),
            ):
                with contextlib.suppress(CommandError, OSError):
                    (target / worker.name / f"{name}.txt").write_text(
                        run("nsenter", f"--net={worker.netns}", *command.split())
                    )


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """A clean-up that was begun is finished: an impatient second Ctrl-C is ignored."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(text: str) -> None:
    print(f"           ... {text}", flush=True)


def _disks_in_memory() -> None:
    """The nodes' disks on a tmpfs where there is memory to spare: unpacking images and removing them is most of the I/O."""
    disks = STATE / "nodes"
    disks.mkdir(parents=True, exist_ok=True)
    free = next(
        int(line.split()[1])
        for line in Path("/proc/meminfo").read_text().splitlines()
        if line.startswith("MemAvailable")
    )
    if free > _ROOMY_KB and not os.path.ismount(disks):
        syscalls.mount("tmpfs", str(disks), "tmpfs", data="size=6g,mode=755")


def sysctls() -> dict[str, str]:
    """What kubelet changes for the whole machine, as it is now."""
    return {name: path.read_text().strip() for name in _SYSCTLS if (path := Path("/proc/sys", name)).exists()}


def _remember_sysctls() -> dict[str, str]:
    STATE.mkdir(parents=True, exist_ok=True)
    found = sysctls()
    (STATE / "sysctls.json").write_text(json.dumps(found))
    return found


def down() -> bool:
    """Removes everything a cluster leaves: processes, lab, control groups, files, sysctls. Works after any crash, and twice.

    False when there was nothing. The images and disks of the nodes go too; the cache of built parts stays.
    """
    there = STATE.exists()
    janitor.end_other(STATE / "janitor.json")
    end_recorded(STATE / "processes")
    with contextlib.suppress(ReasonError):
        there = lifecycle.down(LAB, _say) or there
    left = cgroups.remove(seconds=30.0)
    saved = STATE / "sysctls.json"
    if saved.exists():
        for name, value in json.loads(saved.read_text()).items():
            if (path := Path("/proc/sys", name)).read_text().strip() != value:
                path.write_text(value)
    with contextlib.suppress(OSError):  # on a small machine it is no mount
        syscalls.umount(str(STATE / "nodes"))
    shutil.rmtree(STATE, ignore_errors=True)
    if left or STATE.exists():
        raise CommandError(f"not removed: {', '.join(map(str, [*left, *([STATE] if STATE.exists() else [])]))}")
    return there


def leftovers(before: Mapping[str, str] | None = None) -> list[str]:
    """What of a cluster is still on this machine: processes, namespaces, mounts, control groups, files, and sysctls that
    differ from ``before``."""
    found = [f"namespace {path}" for path in namespaces.of_lab(LAB)]
    found += [f"sysctl {name}" for name, value in sysctls().items() if value != (before or {}).get(name, value)]
    found += [f"file {STATE}"] if STATE.exists() else []
    found += [f"control group {path}" for path in cgroups.left()]
    found += [
        f"mount {line.split()[4]}"
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
        if str(STATE) in line
    ]
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            with contextlib.suppress(OSError):
                line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if f"{STATE}/" in line or f"vpccni_lab.daemon {LAB} " in line:
                    found.append(f"process {process.name} {line[:100]}")
    return found

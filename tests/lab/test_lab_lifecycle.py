"""A lab comes and goes: nothing stays behind, whatever happened to it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from vpccni_api.reasons import Reason, ReasonError
from vpccni_lab import lifecycle, state
from vpccni_lab.client import LabClient
from vpccni_lab.fabric import namespaces
from vpccni_lab.linux import procs
from vpccni_lab.runtime import pods as podlib
from vpccni_lab.runtime.pods import Pods
from vpccni_lab.spec import LabSpec, NodeSpec

from .conftest import ONE_NODE

pytestmark = pytest.mark.lab
NO_CNI = (NodeSpec("node-a", "a", cni="none"),)


def quiet(text: str) -> None:
    pass


def vpclab(*words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "vpccni_lab.cli.main", *words]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def processes_of(name: str, directory: Path) -> list[str]:
    """Every process that has the lab's name or state directory in its command line or environment, or sits in it."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if "vpccni_lab.daemon" in command and name in command:
            found.append(command)
    inside = [procs.identity(path) for path in namespaces.of_lab(name)]
    return found + [str(process) for process in procs.inside(inside)]


def assert_nothing_left(name: str, directory: Path) -> None:
    assert namespaces.of_lab(name) == []
    assert processes_of(name, directory) == []
    assert not (directory / name).exists()
    assert not (directory / f"{name}.lock").exists()
    assert name not in Path("/proc/self/mounts").read_text()


def test_up_and_down_with_pods_and_programs_in_it(lab_name: Callable[[], str], lab_state: Path) -> None:
    name = lab_name()
    with lifecycle.up(LabSpec(name=name, nodes=ONE_NODE), quiet) as lab:
        node = lab.node("node-a")
        with Pods(node) as pods:
            (pod,) = pods.run([podlib.new_pod("node-a", "left-running")])
        assert isinstance(pod, podlib.Pod)
        stray = node.popen(["sleep", "1000"], new_session=True)
        with pytest.raises(ReasonError) as caught:
            lifecycle.up(LabSpec(name=name), quiet)
        assert caught.value.reason is Reason.REQUEST_INVALID
        assert lab.status()["name"] == name
    assert lifecycle.down(name, quiet)
    assert stray.wait(5) in (-signal.SIGTERM, -signal.SIGKILL)
    assert_nothing_left(name, lab_state)
    assert not lifecycle.down(name, quiet)
    with pytest.raises(ReasonError) as gone:
        LabClient(name)
    assert gone.value.reason is Reason.NOT_READY


def test_down_after_the_daemon_was_killed(lab_name: Callable[[], str], lab_state: Path) -> None:
    name = lab_name()
    lifecycle.up(LabSpec(name=name, nodes=ONE_NODE), quiet).close()
    daemon = procs.load(state.State(name).daemon)
    assert daemon is not None and daemon.signal(signal.SIGKILL)
    procs.wait([daemon], 5)
    assert len(namespaces.of_lab(name)) == 5  # they outlive it
    assert lifecycle.down(name, quiet)
    assert_nothing_left(name, lab_state)


def test_up_removes_what_a_crash_left(lab_name: Callable[[], str], lab_state: Path) -> None:
    name = lab_name()
    lifecycle.up(LabSpec(name=name, nodes=NO_CNI), quiet).close()
    daemon = procs.load(state.State(name).daemon)
    assert daemon is not None and daemon.signal(signal.SIGKILL)
    procs.wait([daemon], 5)
    said: list[str] = []
    lifecycle.up(LabSpec(name=name, nodes=NO_CNI), said.append).close()
    assert "earlier lab" in said[0]
    assert lifecycle.down(name, quiet)
    assert_nothing_left(name, lab_state)


@pytest.mark.parametrize("line", ["VPC 10.0.0.0/16", "node-a: m5.large"])
def test_ctrl_c_while_it_comes_up(lab_name: Callable[[], str], lab_state: Path, line: str) -> None:
    name = lab_name()
    with vpclab("up", name) as command:
        assert command.stdout is not None
        while line not in (text := command.stdout.readline()):
            assert text, "ended before it could be interrupted"
        os.killpg(command.pid, signal.SIGINT)  # as a terminal does
        command.stdout.read()
    assert command.returncode == 130
    assert_nothing_left(name, lab_state)


def test_a_lab_that_cannot_be_built_leaves_nothing_and_says_why(lab_name: Callable[[], str], lab_state: Path) -> None:
    name = lab_name()
    nodes = (NodeSpec("node-a", "a", instance_type="z99.nano", cni="none"),)
    with pytest.raises(ReasonError) as caught:
        lifecycle.up(LabSpec(name=name, nodes=nodes), quiet)
    assert "z99.nano" in caught.value.message
    assert_nothing_left(name, lab_state)


def test_a_service_that_ends_at_once_is_named_with_its_last_words(lab_name: Callable[[], str], lab_state: Path) -> None:
    name = lab_name()
    with pytest.raises(ReasonError) as caught:
        lifecycle.up(LabSpec(name=name, nodes=ONE_NODE, env={"PYTHONHOME": "/nowhere"}), quiet)
    assert caught.value.reason is Reason.NOT_READY
    assert "node-a" in caught.value.message and "/nowhere" in caught.value.message
    assert_nothing_left(name, lab_state)


def test_two_labs_side_by_side(lab_name: Callable[[], str], lab_state: Path) -> None:
    names = [lab_name(), lab_name()]
    labs = [lifecycle.up(LabSpec(name=name, nodes=NO_CNI), quiet) for name in names]
    assert {lab.name for lab in state.labs()} >= set(names)
    addresses = [lab.node("node-a").run(["ip", "-br", "addr", "show", "eth0"]).stdout for lab in labs]
    assert addresses[0].split()[2] == addresses[1].split()[2]  # same plan, same seed, and nobody in the other's way
    for lab in labs:
        lab.close()
    assert lifecycle.down(names[0], quiet)
    with LabClient(names[1]) as other:
        assert other.status()["nodes"][0]["name"] == "node-a"
    assert lifecycle.down(names[1], quiet)
    for name in names:
        assert_nothing_left(name, lab_state)


def test_eni_of_a_terminated_instance_goes_from_the_wire(make_lab: Callable[..., LabClient]) -> None:
    lab = make_lab(nodes=NO_CNI)
    node = lab.node("node-a")
    assert "eth0" in node.run(["ip", "-br", "link"]).stdout
    lab.ec2("TerminateInstances", InstanceIds=[node.instance_id])
    deadline = time.monotonic() + 5
    while "eth0" in node.run(["ip", "-br", "link"]).stdout and time.monotonic() < deadline:
        time.sleep(0.02)
    assert "eth0" not in node.run(["ip", "-br", "link"]).stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_what_is_removed_is_not_mistaken_for_a_namespace_made_meanwhile() -> None:
    """The kernel gives a namespace's number again as soon as it is gone: until the end of a removal it must not be free."""
    name = f"num{os.getpid()}"
    path, other = namespaces.path(name, "node-a"), namespaces.path(f"{name}o", "node-a")
    subprocess.run(["ip", "netns", "add", path.name], check=True)
    with contextlib.ExitStack() as held:
        where = lifecycle._namespaces(state.State(name), held)
        assert where == {procs.identity(path)}
        subprocess.run(["ip", "netns", "del", path.name], check=True)
        subprocess.run(["ip", "netns", "add", other.name], check=True)
        try:
            assert procs.identity(other) not in where
        finally:
            subprocess.run(["ip", "netns", "del", other.name], check=True)

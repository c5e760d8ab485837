"""What netconf does inside a pod's network namespace is no more than its own, and does not outlive the pod."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator

import pytest
from netconf_node import Client, Node, serving, sh
from netconf_scenario import scenario, until

pytestmark = [pytest.mark.wire, pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


@pytest.fixture
def node() -> Iterator[Node]:
    with Node() as made:
        made.attach_second()
        yield made


def test_a_namespace_whose_name_goes_without_del_is_let_go(node: Node, tmp_path: pathlib.Path) -> None:
    """Listening inside a pod must not keep its namespace alive."""
    pod = node.add_pod("10.0.1.33")

    async def body(client: Client) -> None:
        await client.set_up()
        await client.setup_pod(pod)
        await until(lambda: node.listened_to(pod), "netconf listens inside the pod")
        sh("ip", "netns", "del", pod.netns.rsplit("/", 1)[-1])
        await until(lambda: pod.host_veth not in " ".join(node.links()), "the kernel has taken the namespace down")

    with serving(node, tmp_path) as process:
        scenario(process, body)


def test_what_a_pod_puts_in_the_place_of_our_route_stays(node: Node, tmp_path: pathlib.Path) -> None:
    """A VPN in the pod, say."""
    pod = node.add_pod("10.0.1.33")

    async def body(client: Client) -> None:
        await client.set_up()
        await client.setup_pod(pod)
        await until(lambda: node.listened_to(pod), "netconf listens inside the pod")
        for command in ("ip link add tun0 type veth", "ip link set tun0 up", "ip route replace default dev tun0"):
            node.in_pod(pod, *command.split())
        node.in_pod(pod, "ip", "neigh", "del", "169.254.1.1", "dev", "eth0")
        await until(lambda: "169.254.1.1" in node.in_pod(pod, "ip", "neigh"), "what was deleted beside it is back")
        assert node.in_pod(pod, "ip", "route", "show", "default").split()[:3] == ["default", "dev", "tun0"]

    with serving(node, tmp_path) as process:
        scenario(process, body)

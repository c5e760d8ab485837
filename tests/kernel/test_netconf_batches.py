"""What one pod costs in messages to the kernel: an ADD is four sends, a DEL one, which takes no device away."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence

import pytest
from netconf_node import Node, eventually
from vpccni_netconf.adapters import kernel as kernel_adapter
from vpccni_netconf.adapters import leftovers as leftovers_adapter
from vpccni_netconf.adapters.kernel import LinuxKernel
from vpccni_netconf.adapters.leftovers import Leftovers
from vpccni_netconf.adapters.rtnl import Failure, RtnlSocket
from vpccni_netconf.desired import Desired
from vpccni_netconf.domain.spec import PodSpec
from vpccni_netconf.setup_pod import setup_pod
from vpccni_netconf.teardown_pod import teardown_pod

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
NEWLINK, DELLINK, NEWADDR, NEWROUTE, DELROUTE, NEWNEIGH, NEWRULE, DELRULE = 16, 17, 20, 24, 25, 28, 32, 33


class Written(RtnlSocket):
    """Notes the kinds of what is sent together, and who sent it."""

    sends: list[tuple[RtnlSocket, list[int]]]

    def batch(self, made: Sequence[bytearray]) -> list[Failure]:
        self.sends.append((self, [struct.unpack_from("=H", message, 4)[0] for message in made]))
        return super().batch(made)


@pytest.fixture
def node() -> Iterator[Node]:
    with Node() as made:
        yield made


@pytest.fixture
def sends(monkeypatch: pytest.MonkeyPatch) -> list[tuple[RtnlSocket, list[int]]]:
    Written.sends = []
    monkeypatch.setattr(kernel_adapter, "RtnlSocket", Written)
    monkeypatch.setattr(leftovers_adapter, "RtnlSocket", Written)
    return Written.sends


@pytest.mark.parametrize("table", [254, 3])
def test_messages_of_a_pods_life(node: Node, sends: list[tuple[RtnlSocket, list[int]]], table: int) -> None:
    spec = PodSpec("c1", "eth0", node.add_pod("10.0.1.33").netns, "eni0123456789a", "10.0.1.33", table, 9001)
    purges = [DELRULE] * 4
    rules = [NEWRULE] * (1 if table == 254 else 2)

    def body() -> None:
        kernel, background, desired = LinuxKernel(), Leftovers(), Desired()
        setup_pod(kernel, desired, spec)
        assert [kinds for _, kinds in sends] == [
            [NEWLINK],
            purges,
            [NEWLINK, NEWROUTE, *rules],
            [NEWLINK, NEWROUTE, NEWROUTE, NEWADDR, NEWNEIGH],
        ]
        sends.clear()
        teardown_pod(kernel, desired, background, spec)
        mine = [kinds for sender, kinds in sends if sender is kernel._rtnl]
        assert mine == [[*purges, DELROUTE]]
        eventually(lambda: not kernel.host.link_index(spec.host_veth), "the link goes")
        assert [kinds for sender, kinds in sends if sender is background._rtnl] == [[DELLINK]]
        background.close()
        kernel.close()

    node.run(body)

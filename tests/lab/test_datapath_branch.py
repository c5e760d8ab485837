"""Branch ENIs on this machine's kernel: the rows where it has VLAN devices, a refusal that names them where it has not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from vpccni_api.reasons import Reason, ReasonError
from vpccni_lab.client import LabClient
from vpccni_lab.datapath import branch
from vpccni_lab.probe import reach
from vpccni_lab.probe.reach import PORT, Probe
from vpccni_lab.spec import NodeSpec

pytestmark = pytest.mark.lab
PLAIN = (NodeSpec("node-a", "a", cni="none"), NodeSpec("node-b", "a", cni="none"))


@pytest.fixture(scope="module")
def lab(make_lab: Callable[..., LabClient]) -> LabClient:
    return make_lab(nodes=PLAIN, traces=False)


def can_carry(lab: LabClient) -> bool:
    try:
        entry = lab.add_branch("node-a")
    except ReasonError as exc:
        assert exc.reason is Reason.KERNEL_REFUSED
        assert "8021q" in exc.message
        return False
    lab.del_branch(entry["eniId"])
    return True


def test_without_vlan_devices_nothing_is_made(lab: LabClient) -> None:
    if can_carry(lab):
        pytest.skip("this kernel has VLAN devices (8021q)")
    assert [eni["device_index"] for eni in lab.enis()["node-a"]] == [0]
    a, b = (lab.node(name).endpoint for name in ("node-a", "node-b"))
    assert reach.udp([Probe(a, b)])[0].ok


def test_rows_of_branch_pods(lab: LabClient, lab_name: Callable[[], str]) -> None:
    if not can_carry(lab):
        pytest.skip("needs a kernel with VLAN devices (8021q): make datapath-vlan")
    found = [row for block in branch.run(lab_name(), lambda text: None) for row in block]
    assert [row for row in found if not row.ok] == []


def test_security_groups_filter_nodes_too(lab: LabClient) -> None:
    """The group lets in TCP from node-b on the probes' port: what it does not, is dropped and counted; answers pass."""
    a, b = (lab.node(name).endpoint for name in ("node-a", "node-b"))
    (eni,) = lab.enis()["node-b"]
    group = lab.ec2("CreateSecurityGroup", VpcId=lab.status()["vpc"], GroupName="tight", Description="tight")["GroupId"]
    allow = {"IpProtocol": "tcp", "FromPort": PORT, "ToPort": PORT, "IpRanges": [{"CidrIp": f"{a.address}/32"}]}
    lab.ec2("AuthorizeSecurityGroupIngress", GroupId=group, IpPermissions=[allow])
    lab.ec2("ModifyNetworkInterfaceAttribute", NetworkInterfaceId=eni["id"], Groups=[group])
    assert reach.tcp([Probe(a, b)])[0].ok
    assert not reach.udp([Probe(a, b)], 0.6)[0].source
    assert lab.dropped()["denied"] >= 1
    assert [seen.ok for seen in (*reach.udp([Probe(b, a)]), *reach.tcp([Probe(b, a)]))] == [True, True]
    # nothing may leave: neither does what was allowed before, once it is a new connection
    everything = [
        {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]},
        {"IpProtocol": "-1", "Ipv6Ranges": [{"CidrIpv6": "::/0"}]},
    ]
    lab.ec2("RevokeSecurityGroupEgress", GroupId=group, IpPermissions=everything)
    assert not reach.tcp([Probe(b, a)], 0.6)[0].source
    assert reach.tcp([Probe(a, b)])[0].ok

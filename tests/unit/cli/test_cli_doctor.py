"""``vpccni doctor`` over directories that look like nodes: each fault is named by its own check, with a cure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from vpccni_cli.host_checks import kubelet_max_pods
from vpccni_cli.main import main
from vpccni_cli.text import WIDTH

_ROUTES = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\nens5 00000000 0100000A 3 0 0 0 00000000 0 0 0\n"
_GOOD = {
    "etc/cni/net.d/10-aws.conflist": "{}",
    "opt/cni/bin/aws-cni": "",
    "proc/sys/net/ipv4/ip_forward": "1\n",
    "proc/sys/net/ipv4/conf/all/rp_filter": "0\n",
    "proc/sys/net/ipv4/conf/ens5/rp_filter": "2\n",
    "proc/sys/net/netfilter/nf_conntrack_count": "12\n",
    "proc/sys/net/netfilter/nf_conntrack_max": "1000\n",
    "proc/net/route": _ROUTES,
    "run/systemd/netif/state": "",
    "run/NetworkManager/state": "",
    "etc/systemd/networkd.conf": "[Network]\nManageForeignRoutes=no\n",
    "usr/lib/systemd/networkd.conf.d/50.conf": "[Network]\nManageForeignRoutingPolicyRules = no\n",
    "usr/lib/systemd/network/99-default.link": "[Link]\nMACAddressPolicy=persistent\n",
    "etc/systemd/network/99-default.link": "[Link]\nMACAddressPolicy=none\n",
    "etc/NetworkManager/conf.d/eni.conf": "[keyfile]\nunmanaged-devices=interface-name:eni*\n",
}
_FAULTS: dict[str, tuple[Mapping[str, str | None], str]] = {
    "another CNI's file is first": ({"etc/cni/net.d/05-cilium.conflist": "{}"}, "CNI configuration"),
    "no conflist": ({"etc/cni/net.d/10-aws.conflist": None, "etc/cni/net.d/README": ""}, "CNI configuration"),
    "no plugin": ({"opt/cni/bin/aws-cni": None, "opt/cni/bin/loopback": ""}, "plugin binary"),
    "no forwarding": ({"proc/sys/net/ipv4/ip_forward": "0"}, "ip_forward"),
    "strict rp_filter": ({"proc/sys/net/ipv4/conf/ens5/rp_filter": "1"}, "rp_filter"),
    "networkd removes rules": ({"usr/lib/systemd/networkd.conf.d/50.conf": None}, "systemd-networkd"),
    "a drop-in undoes it": ({"etc/systemd/networkd.conf.d/99.conf": "ManageForeignRoutes=yes"}, "systemd-networkd"),
    "udev rewrites MACs": ({"etc/systemd/network/99-default.link": None}, "MACAddressPolicy"),
    "NetworkManager": ({"etc/NetworkManager/conf.d/eni.conf": None}, "NetworkManager"),
    "connection tracking is full": ({"proc/sys/net/netfilter/nf_conntrack_count": "950"}, "conntrack"),
    "nm-cloud-setup": ({"etc/systemd/system/timers.target.wants/nm-cloud-setup.timer": ""}, "nm-cloud-setup"),
}


_SERVICES = {"ipam", "netconf, asked directly", "eni-manager, asked directly"}  # none answers in these tests


def _node(root: Path, faults: Mapping[str, str | None]) -> Path:
    for name, text in {**_GOOD, **faults}.items():
        if text is not None:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o755)
    return root


def _doctor(root: Path, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    where = ["--root", str(root), "--proc", str(root / "proc"), "--socket", str(root / "none.sock")]
    where += ["--eni-manager-socket", str(root / "none.sock"), "--netconf-socket", str(root / "none.sock")]
    assert main(["doctor", *where, *words]) == 1
    return capsys.readouterr().out


def _failed(root: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    said = json.loads(_doctor(root, capsys, "--output", "json"))
    failed = {item["check"]: item for item in said["checks"] if item["ok"] is False}
    assert len(failed) == said["failed"] and all(item["cure"] for item in failed.values())
    return failed


def test_a_good_node_fails_in_nothing_but_its_services(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert set(_failed(_node(tmp_path, {}), capsys)) == _SERVICES


@pytest.mark.parametrize("fault", list(_FAULTS))
def test_each_fault_is_named(fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files, check = _FAULTS[fault]
    root = _node(tmp_path, files)
    assert set(_failed(root, capsys)) == {*_SERVICES, check}
    assert f"FAIL {check}: " in " ".join(_doctor(root, capsys).split())


def test_an_empty_file_system_is_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert set(_failed(tmp_path, capsys)) == _SERVICES
    assert all(len(line) <= WIDTH for line in _doctor(tmp_path, capsys).splitlines() if str(tmp_path) not in line)


@pytest.mark.parametrize(
    ("files", "pods"),
    [
        ({}, None),
        ({"etc/kubernetes/kubelet/config.json": '{"maxPods": 29, "port": 1}'}, 29),
        ({"etc/kubernetes/kubelet/kubelet-config.json": '{\n  "maxPods": 58\n}'}, 58),
        ({"var/lib/kubelet/config.yaml": "kind: KubeletConfiguration\nmaxPods: 110\n"}, 110),
        (
            {
                "etc/kubernetes/kubelet/config.json": '{"maxPods": 29}',
                "etc/kubernetes/kubelet/config.json.d/40-nodeadm.conf": '{"maxPods": 17}',
            },
            17,
        ),
    ],
)
def test_what_kubelet_was_started_with(files: Mapping[str, str], pods: int | None, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert kubelet_max_pods(tmp_path) == pods

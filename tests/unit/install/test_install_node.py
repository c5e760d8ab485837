"""What the init container does to a host: files replaced in one step, sysctls, and their removal."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from vpccni_api.reasons import Reason, ReasonError
from vpccni_install import clean, files, init, settings
from vpccni_install.domain import sysctls, taints
from vpccni_kit.settings import read


def test_replace_says_whether_it_changed(tmp_path: Path) -> None:
    path = tmp_path / "10-aws.conflist"
    assert files.replace(path, "one")
    inode = path.stat().st_ino
    assert not files.replace(path, "one")
    assert path.stat().st_ino == inode
    assert files.replace(path, "two")
    assert path.read_text() == "two"
    assert path.stat().st_ino != inode, "written in place: a reader could see half of it"
    assert path.stat().st_mode & 0o777 == 0o644
    assert os.listdir(tmp_path) == [path.name]


def test_install_leaves_the_running_program_its_file(tmp_path: Path) -> None:
    (tmp_path / "image").mkdir()
    (tmp_path / "host").mkdir()
    source = tmp_path / "image/aws-cni"
    source.write_bytes(b"v1")
    assert files.install(source, tmp_path / "host")
    with (tmp_path / "host/aws-cni").open("rb") as running:
        source.write_bytes(b"v2")
        assert files.install(source, tmp_path / "host")
        assert running.read() == b"v1"
    assert not files.install(source, tmp_path / "host")
    assert (tmp_path / "host/aws-cni").stat().st_mode & 0o777 == 0o755


def test_our_plugin_is_copied_last_and_leftovers_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image, host = tmp_path / "image", tmp_path / "host"
    image.mkdir()
    host.mkdir()
    for name in ("portmap", "aws-cni", "zeta"):
        (image / name).write_text(name)
    (host / "bridge.vpccni-tmp").write_text("half a copy")
    order: list[str] = []
    real = files.install

    def noted(source: Path, directory: Path) -> bool:
        order.append(source.name)
        return real(source, directory)

    monkeypatch.setattr(files, "install", noted)
    init.copy_plugins(image, host)
    assert order == ["portmap", "zeta", "aws-cni"]
    assert sorted(os.listdir(host)) == ["aws-cni", "portmap", "zeta"]


def test_an_image_without_our_plugin_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReasonError, match="no aws-cni"):
        init.copy_plugins(tmp_path, tmp_path / "host")


class FakeImds:
    """A metadata service with one value."""

    def __init__(self, mac: str) -> None:
        self.mac = mac

    def get(self, path: str) -> str | None:
        return self.mac if path == "mac" else None


def test_primary_link_is_the_one_with_the_instances_mac(tmp_path: Path) -> None:
    for name, mac in (("ens5", "02:00:00:00:00:01"), ("ens6", "02:00:00:00:00:02")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "address").write_text(f"{mac}\n")
    assert init.primary_link(FakeImds("02:00:00:00:00:02"), tmp_path) == "ens6"  # type: ignore[arg-type]
    with pytest.raises(ReasonError) as caught:
        init.primary_link(FakeImds("02:00:00:00:00:03"), tmp_path)  # type: ignore[arg-type]
    assert caught.value.reason is Reason.KERNEL_REFUSED


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["ipv4/conf/eth0/rp_filter=2", "ipv4/tcp_early_demux=1"]),
        ({"no_early_demux": True}, ["ipv4/conf/eth0/rp_filter=2", "ipv4/tcp_early_demux=0"]),
        (
            {"ipv6": True},
            [
                "ipv4/conf/eth0/rp_filter=2",
                "ipv4/tcp_early_demux=1",
                "ipv6/conf/all/disable_ipv6=0",
                "ipv6/conf/all/forwarding=1",
                "ipv6/conf/eth0/accept_ra=2",
            ],
        ),
        (
            {"v6_egress": True},
            [
                "ipv4/conf/eth0/rp_filter=2",
                "ipv4/tcp_early_demux=1",
                "ipv6/conf/all/forwarding=1",
                "ipv6/conf/eth0/accept_ra=2",
            ],
        ),
    ],
)
def test_sysctls(options: dict[str, bool], expected: list[str]) -> None:
    off = {"no_early_demux": False, "ipv6": False, "v6_egress": False}
    assert [f"{s.path}={s.value}" for s in sysctls.for_node("eth0", **{**off, **options})] == expected


def test_sysctls_are_written_where_the_host_is_mounted(tmp_path: Path) -> None:
    (tmp_path / "ipv4/conf/eth0").mkdir(parents=True)
    (tmp_path / "ipv4/conf/eth0/rp_filter").write_text("1\n")
    values = read(settings.ALL, {"VPCCNI_SYSCTL_DIR": str(tmp_path)})
    init.write_sysctls(values, "eth0")
    assert (tmp_path / "ipv4/conf/eth0/rp_filter").read_text() == "2"
    assert not (tmp_path / "ipv4/tcp_early_demux").exists(), "a kernel without it is left without it"
    with pytest.raises(ReasonError) as caught:
        init.write_sysctls(values, "eth1")
    assert caught.value.reason is Reason.KERNEL_REFUSED


@pytest.fixture
def host(tmp_path: Path) -> dict[str, str]:
    for name in ("net.d", "bin", "run"):
        (tmp_path / name).mkdir()
    for name in ("net.d/10-aws.conflist", "net.d/99-other.conflist", "bin/aws-cni", "bin/portmap", "run/ipam.sock"):
        (tmp_path / name).write_text("x")
    (tmp_path / "run/eni-manager").mkdir()
    return {"HOST_CNI_CONFDIR_PATH": str(tmp_path / "net.d"), "HOST_CNI_BIN_PATH": str(tmp_path / "bin")}


def left(tmp_path: Path) -> list[str]:
    return sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())


def test_clean_takes_the_conflist_only(tmp_path: Path, host: dict[str, str]) -> None:
    clean.run(host, plugins=False, state=False, force=False, state_dir=tmp_path / "run")
    assert left(tmp_path) == ["bin/aws-cni", "bin/portmap", "net.d/99-other.conflist", "run/ipam.sock"]


def test_clean_everything_leaves_what_is_not_ours(tmp_path: Path, host: dict[str, str]) -> None:
    for _ in range(2):
        clean.run(host, plugins=True, state=True, force=False, state_dir=tmp_path / "run")
        assert left(tmp_path) == ["bin/portmap", "net.d/99-other.conflist"]
        assert not (tmp_path / "run/eni-manager").exists()


def test_clean_refuses_while_pods_have_addresses(tmp_path: Path, host: dict[str, str]) -> None:
    (tmp_path / "run/ipam.json").write_text(json.dumps({"allocations": [{}, {}]}))
    with pytest.raises(ReasonError, match="2 pods"):
        clean.run(host, plugins=True, state=False, force=False, state_dir=tmp_path / "run")
    assert (tmp_path / "net.d/10-aws.conflist").exists()
    clean.run(host, plugins=True, state=True, force=True, state_dir=tmp_path / "run")
    assert left(tmp_path) == ["bin/portmap", "net.d/99-other.conflist"]


def test_removal_of_a_taint() -> None:
    ours, other = {"key": "ours", "effect": "NoSchedule"}, {"key": "other", "effect": "NoExecute"}
    patch = taints.removal([other, ours], "ours", "7")
    assert patch == [
        {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
        {"op": "replace", "path": "/spec/taints", "value": [other]},
    ]
    assert taints.removal([other], "ours", "7") is None
    assert taints.removal([], "ours", "7") is None

"""Starts a node: its namespaces, its private directories, its primary interface as an EC2 image would set it up."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from vpccni_lab.fabric import namespaces
from vpccni_lab.fabric.plan import GATEWAY6
from vpccni_lab.linux import netlink as nl
from vpccni_lab.linux import procs, syscalls

NODE_SYSCTLS: Final[Mapping[str, str]] = {
    "ipv4/ip_forward": "1",  # kubelet and kube-proxy do this on a real node
    "ipv6/conf/all/forwarding": "1",
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/default/rp_filter": "1",  # Amazon Linux's default: strict
}
IMDS_ADDRESS: Final = "169.254.169.254"
IMDS_ADDRESS6: Final = "fd00:ec2::254"

KEPT: Final[Mapping[str, str]] = {
    "cni-conf": "/etc/cni/net.d",
    "cni-bin": "/opt/cni/bin",
    "lib-cni": "/var/lib/cni",
    "pods": "/var/lib/vpclab/pods",
    "log": "/var/log/aws-routed-eni",
}
"""Directory in the node's state directory -> where the node sees it."""

_OVERLAID: Final = ("/etc", "/opt", "/var/lib", "/var/log")


def make_namespace(where: Path, extra_sysctls: Mapping[str, str]) -> None:
    """The node's network namespace: what the fabric plugs ENIs into. IMDS's addresses are on its ``lo``."""
    namespaces.create(where, {**NODE_SYSCTLS, **extra_sysctls})
    with nl.RouteSocket(where) as sock:
        lo = sock.index("lo")
        imds = (f"{IMDS_ADDRESS}/32", f"{IMDS_ADDRESS6}/128")
        sock.apply([nl.addr_add(lo, cidr, never_source=True) for cidr in imds])


def start_holder(name: str, address: str, netns: Path, directory: Path, iptables: str = "") -> subprocess.Popen[bytes]:
    """Starts the process that keeps the node's mount and UTS namespaces (a ``sleep``), and prepares them.

    ``directory``: the node's state directory; its subdirectories are mounted as :data:`KEPT` says. ``iptables``: legacy or
    nft, what the node's ``iptables`` is; empty: as on this machine. Raises OSError.
    """
    for sub in KEPT:
        (directory / sub).mkdir(parents=True, exist_ok=True)
    (directory / "overlay").mkdir(exist_ok=True)

    def start() -> subprocess.Popen[bytes]:
        fd = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
        try:
            syscalls.setns(fd, syscalls.CLONE_NEWNET)
        finally:
            os.close(fd)
        syscalls.unshare(syscalls.CLONE_NEWNS | syscalls.CLONE_NEWUTS)
        syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
        _mount_all(directory)
        socket.sethostname(name)
        # there is no name server in the VPC; without one listed, look-ups fail at once instead of after seconds
        Path("/etc/hosts").write_text(f"127.0.0.1 localhost\n::1 localhost\n{address} {name}\n")
        Path("/etc/resolv.conf").unlink(missing_ok=True)
        Path("/etc/resolv.conf").write_text("")
        if iptables:
            _choose_iptables(iptables)
        return subprocess.Popen(
            ["sleep", "infinity"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )

    holder = syscalls.in_new_thread(start)
    procs.save(directory / "holder.json", procs.ref(holder.pid))
    return holder


def _choose_iptables(kind: str) -> None:
    # what update-alternatives(1) does; /etc is the node's own
    for family in ("iptables", "ip6tables"):
        for suffix in ("", "-save", "-restore"):
            link = Path("/etc/alternatives", f"{family}{suffix}")
            link.unlink(missing_ok=True)
            link.symlink_to(f"/usr/sbin/{family}-{kind}{suffix}")


def _mount_all(directory: Path) -> None:
    overlay = directory / "overlay"
    syscalls.mount("tmpfs", str(overlay), "tmpfs", data="mode=755")
    for target in _OVERLAID:
        if os.path.isdir(target):
            upper, work = overlay / f"up{target.replace('/', '-')}", overlay / f"work{target.replace('/', '-')}"
            upper.mkdir()
            work.mkdir()
            syscalls.mount("overlay", target, "overlay", data=f"lowerdir={target},upperdir={upper},workdir={work}")
    for sub, target in KEPT.items():
        os.makedirs(target, exist_ok=True)
        syscalls.bind(str(directory / sub), target)
    syscalls.mount("sysfs", "/sys", "sysfs")  # of this network namespace: /sys/class/net
    # last, because the state directory may itself lie below /run
    syscalls.mount("tmpfs", "/run", "tmpfs", data="mode=755")
    for sub, mode in (("netns", 0o755), ("vpccni", 0o700), ("aws-node", 0o755), ("cni", 0o755), ("lock", 0o1777)):
        os.mkdir(f"/run/{sub}")
        os.chmod(f"/run/{sub}", mode)


def configure_primary(netns: Path, link: str, cidr: str, gateway: str, ipv6: tuple[str, ...], mtu: int) -> None:
    """What the image's DHCP client does at boot: address, default route, and IPv6 by DHCPv6 and router advertisement."""
    with nl.RouteSocket(netns) as sock:
        index = sock.index(link)
        sock.apply(
            [
                nl.link_up(index, mtu),
                nl.addr_add(index, cidr),
                nl.route_replace("0.0.0.0/0", index, gateway),
                *(nl.addr_add(index, f"{address}/128") for address in ipv6),
                *([nl.route_replace("::/0", index, GATEWAY6)] if ipv6 else []),
            ]
        )


def install_plugins(directory: Path, copied: Mapping[str, Path], linked: Mapping[str, Path]) -> None:
    """Puts CNI plugins into the node's /opt/cni/bin, name -> program. Raises OSError naming the file.

    Copied is what may be built anew while the lab runs; the rest is linked to.
    """
    target = directory / "cni-bin"
    for name, source in linked.items():
        (target / name).symlink_to(source)
    for name, source in copied.items():
        (target / name).unlink(missing_ok=True)
        shutil.copyfile(source, target / name)
        (target / name).chmod(0o755)

"""What usually goes wrong on a node, told from its files and sysctls. Reads only."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

CONFLIST: Final = "10-aws.conflist"
_NO: Final = ("no", "false", "0", "off")
_LINK_FILE: Final = "99-default.link"
_DEFAULT_ROUTE: Final = "00000000"
_CONNTRACK_FULL: Final = 0.9
# AL2023, AL2, kubeadm; JSON and YAML alike.
_KUBELET_FILES: Final = (
    "etc/kubernetes/kubelet/config.json",
    "etc/kubernetes/kubelet/kubelet-config.json",
    "var/lib/kubelet/config.yaml",
)
_MAX_PODS: Final = re.compile(r"""(?:^|[{,])\s*"?maxPods"?\s*:\s*(\d+)""", re.MULTILINE)
_CNI_SUFFIXES: Final = (".conf", ".conflist", ".json")
# Directories of systemd's settings, from the strongest to the weakest.
_SYSTEMD: Final = ("etc/systemd", "run/systemd", "usr/lib/systemd", "lib/systemd")


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """``ok`` None: not applicable on this node, ``detail`` says why."""

    check: str
    ok: bool | None
    detail: str
    cure: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Host:
    """``root``: the node's file system; ``proc``: a /proc in the node's network namespace."""

    root: Path
    proc: Path


def checks(host: Host) -> Iterator[Finding]:
    yield _first_conflist(host.root / "etc/cni/net.d")
    yield _plugin(host.root / "opt/cni/bin/aws-cni")
    yield _forwarding(host.proc)
    yield _rp_filter(host.proc)
    yield _networkd(host.root)
    yield _mac_policy(host.root)
    yield _network_manager(host.root)
    yield _cloud_setup(host.root)
    yield _conntrack(host.proc)


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def _first_conflist(folder: Path) -> Finding:
    name = "CNI configuration"
    if not folder.is_dir():
        return Finding(name, None, f"{folder} cannot be read; --root names the node's file system")
    found = sorted(path.name for path in folder.iterdir() if path.suffix in _CNI_SUFFIXES)
    if not found or CONFLIST not in found:
        return Finding(
            name,
            False,
            f"{folder} has no {CONFLIST}",
            "ipam's container writes it when the first address is usable: see `vpccni status`.",
        )
    if found[0] != CONFLIST:
        return Finding(
            name,
            False,
            f"{found[0]} comes before {CONFLIST}",
            f"The runtime takes the first file: remove {found[0]}, or uninstall the CNI that it belongs to.",
        )
    return Finding(name, True, f"{CONFLIST} is the first")


def _plugin(path: Path) -> Finding:
    if not path.parent.is_dir():
        return Finding("plugin binary", None, f"{path.parent} cannot be read; --root names the node's file system")
    if path.is_file() and path.stat().st_mode & 0o111:
        return Finding("plugin binary", True, str(path))
    return Finding(
        "plugin binary",
        False,
        f"{path} is missing or not executable",
        "Restart the aws-node pod: its init installs it.",
    )


def _forwarding(proc: Path) -> Finding:
    value = _text(proc / "sys/net/ipv4/ip_forward")
    if value is None:
        return Finding("ip_forward", None, "cannot be read")
    cure = "" if value == "1" else "Set net.ipv4.ip_forward=1 and look for a sysctl.d file that sets 0."
    return Finding("ip_forward", value == "1", f"net.ipv4.ip_forward={value}", cure)


def _rp_filter(proc: Path) -> Finding:
    link = next((fields[0] for fields in _routes(proc) if fields[1] == fields[7] == _DEFAULT_ROUTE), "")
    if not link:
        return Finding("rp_filter", None, "no default IPv4 route")
    # The kernel takes the greater of the two.
    values = [_text(proc / f"sys/net/ipv4/conf/{name}/rp_filter") or "0" for name in ("all", link)]
    ok = max(values) != "1"
    cure = "" if ok else f"Set net.ipv4.conf.{link}.rp_filter=2: strict drops answers to pods of other ENIs (NodePort)."
    return Finding("rp_filter", ok, f"all={values[0]}, {link}={values[1]}", cure)


def _routes(proc: Path) -> Iterator[list[str]]:
    for line in (_text(proc / "net/route") or "").splitlines()[1:]:
        fields = line.split()
        if len(fields) > 7:
            yield fields


def _assigned(texts: Iterable[str], key: str) -> str | None:
    """The value that the last text gives ``key``."""
    found = None
    for text in texts:
        for line in text.splitlines():
            name, equals, value = line.partition("=")
            if equals and name.strip() == key:
                found = value.strip().lower()
    return found


def _systemd_texts(root: Path, file: str) -> list[str]:
    """The main file, the strongest only, and then its drop-ins in the order of their names."""
    main = next((text for base in _SYSTEMD if (text := _text(root / base / file)) is not None), None)
    drop_ins: dict[str, Path] = {}
    for base in reversed(_SYSTEMD):
        drop_ins.update({path.name: path for path in (root / base / f"{file}.d").glob("*.conf")})
    return [text for text in (main, *(_text(drop_ins[name]) for name in sorted(drop_ins))) if text is not None]


def _networkd(root: Path) -> Finding:
    if not (root / "run/systemd/netif").is_dir():
        return Finding("systemd-networkd", None, "does not run here")
    texts = _systemd_texts(root, "networkd.conf")
    keys = ("ManageForeignRoutingPolicyRules", "ManageForeignRoutes")
    wrong = [key for key in keys if _assigned(texts, key) not in _NO]
    if not wrong:
        return Finding("systemd-networkd", True, "leaves our rules and routes alone")
    wanted = ", ".join(f"{key}=no" for key in wrong)
    return Finding(
        "systemd-networkd",
        False,
        f"removes rules and routes that it did not make ({', '.join(wrong)})",
        f"Put {wanted} into /etc/systemd/networkd.conf, section [Network], and restart systemd-networkd.",
    )


def _mac_policy(root: Path) -> Finding:
    value = _assigned(_systemd_texts(root, f"network/{_LINK_FILE}"), "MACAddressPolicy")
    if value is None:
        return Finding("MACAddressPolicy", None, f"no {_LINK_FILE} sets it")
    if value != "persistent":
        return Finding("MACAddressPolicy", True, value)
    return Finding(
        "MACAddressPolicy",
        False,
        "persistent: udev rewrites the MAC addresses of pods' host links",
        f"Copy {_LINK_FILE} to /etc/systemd/network with MACAddressPolicy=none, and restart the pods or the node.",
    )


def _network_manager(root: Path) -> Finding:
    if not (root / "run/NetworkManager").is_dir():
        return Finding("NetworkManager", None, "does not run here")
    files = sorted((root / "etc/NetworkManager").glob("**/*.conf"))
    value = _assigned((text for path in files if (text := _text(path)) is not None), "unmanaged-devices") or ""
    if "eni" in value:
        return Finding("NetworkManager", True, f"unmanaged-devices={value}")
    return Finding(
        "NetworkManager",
        False,
        "manages the host links of pods",
        "Put unmanaged-devices=interface-name:eni* into a file of /etc/NetworkManager/conf.d, section [keyfile].",
    )


def _cloud_setup(root: Path) -> Finding:
    enabled = sorted((root / "etc/systemd/system").glob("*.wants/nm-cloud-setup.*"))
    if not enabled:
        return Finding("nm-cloud-setup", True, "not enabled")
    return Finding(
        "nm-cloud-setup",
        False,
        f"{enabled[0].name} is enabled and takes the secondary addresses of ENIs for the host",
        "systemctl disable --now nm-cloud-setup.service nm-cloud-setup.timer, then restart the node.",
    )


def _conntrack(proc: Path) -> Finding:
    count, most = (_text(proc / f"sys/net/netfilter/nf_conntrack_{name}") for name in ("count", "max"))
    if not (count and most and int(most)):
        return Finding("conntrack", None, "no connection tracking here")
    share = int(count) / int(most)
    cure = "" if share < _CONNTRACK_FULL else f"Raise net.netfilter.nf_conntrack_max; it is {most}. A full table drops."
    return Finding("conntrack", share < _CONNTRACK_FULL, f"{count} of {most} entries in use", cure)


def kubelet_max_pods(root: Path) -> int | None:
    """maxPods of kubelet's configuration file; None when there is none that can be read or that names it."""
    for name in _KUBELET_FILES:
        base = root / name
        # Later drop-ins win, and all of them over the file itself (kubelet --config-dir).
        for path in (*sorted(base.parent.glob(f"{base.name}.d/*.conf"), reverse=True), base):
            found = _MAX_PODS.search(_text(path) or "")
            if found:
                return int(found[1])
    return None

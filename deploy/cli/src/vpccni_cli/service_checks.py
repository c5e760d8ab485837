"""What ipam and netconf say of themselves, as findings. Pure: plain values in, findings out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vpccni_cli import text
from vpccni_cli.host_checks import Finding


def ipam(found: Mapping[str, Any]) -> Iterator[Finding]:
    """``found``: ipam's InspectResponse."""
    yield Finding("ipam", True, f"answers, version {found['version']}")
    for item in found["dependencies"]:
        detail = "answers" if item["ok"] else f"{item['reason']}: {item['message']}"
        yield Finding(item["name"], item["ok"], detail, text.cure(item["reason"]))
    yield _growth(found)
    yield _quarantine(found)
    yield _pending(found)
    yield from bad_settings("ipam", found["bad_settings"])


def _growth(found: Mapping[str, Any]) -> Finding:
    growth = found.get("growth", {})
    reason = growth.get("last_reason", "")
    if reason:
        return Finding("growth", False, f"{reason}: {growth.get('last_message', '')}", text.cure(reason))
    return Finding("growth", True, f"{found['free']} free, {growth.get('waiting_adds', 0)} ADDs wait")


def _quarantine(found: Mapping[str, Any]) -> Finding:
    count = found["quarantined"]
    cure = text.cure("ADDRESS_QUARANTINED") if count else ""
    return Finding("quarantine", count == 0, f"{count} addresses of ENIs that are not known", cure)


def _pending(found: Mapping[str, Any]) -> Finding:
    """ipam empties the queue before its first ADD and then every few seconds."""
    count = found["pending_dels"]
    cure = "ipam carries them out within seconds: run this again; if they stay, its log says why." if count else ""
    return Finding("queued DELs", count == 0, f"{count} wait on disk", cure)


def netconf(found: Mapping[str, Any]) -> Iterator[Finding]:
    """``found``: netconf's InspectResponse."""
    backend, problem = found["packet_filter_backend"] or "-", found["packet_filter_problem"]
    cure = (
        "Use one iptables on the host (update-alternatives --config iptables), restart kube-proxy and flush the other's chains;"
        " VPCCNI_NETCONF_PACKET_FILTER sets ours."
    )
    yield Finding("packet filter", not problem, problem or backend, cure if problem else "")
    yield from bad_settings("netconf", found["bad_settings"])


def bad_settings(service: str, bad: Mapping[str, str]) -> Iterator[Finding]:
    """One for each setting that was not usable."""
    for name, why in sorted(bad.items()):
        yield Finding(f"setting {name}", False, f"{service}: {why}", text.cure("CONFIG_INVALID"))


def versions(own: str, services: Mapping[str, str]) -> Iterator[Finding]:
    """``services``: name -> version, of those that answered."""
    shown = ", ".join(f"{name} {version}" for name, version in services.items())
    if services:
        same = len({own, *services.values()}) == 1
        cure = "" if same else "Finish the roll-out: kubectl -n kube-system rollout status ds/aws-node."
        yield Finding("versions", same, f"{shown}, this command {own}" if not same else own, cure)

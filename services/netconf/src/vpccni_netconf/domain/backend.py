"""Which packet filter the host uses: ours must be the same one, or each would not see what the other does."""

from __future__ import annotations

import dataclasses
import enum
import re
from typing import Final

_KUBE: Final = re.compile(r"^:KUBE-", re.MULTILINE)
_VERSION: Final = re.compile(r"v(\d+)\.(\d+)\.(\d+)")
_RANDOM_FULLY_SINCE: Final = (1, 6, 2)


class Backend(enum.StrEnum):
    """``NFTABLES``: iptables-nft for translation and mangle, nftables' own table for connection marks."""

    LEGACY = "iptables-legacy"
    NFT = "iptables-nft"
    NFTABLES = "nftables"


@dataclasses.dataclass(frozen=True, slots=True)
class HostFilter:
    """What was found on the host. ``legacy`` and ``nft``: listings by either binary; ``version``: of `iptables --version`."""

    legacy: str
    nft: str
    version: str
    nft_tool: bool


def choose(host: HostFilter, forced: str) -> Backend:
    """``forced``: a Backend's value, or "auto": where kubelet and kube-proxy have their chains, else the host's default."""
    if forced != "auto":
        return Backend(forced)
    if _KUBE.search(host.nft):
        legacy = False
    elif _KUBE.search(host.legacy):
        legacy = True
    else:
        legacy = "legacy" in host.version
    if legacy:
        return Backend.LEGACY
    return Backend.NFTABLES if host.nft_tool else Backend.NFT


def mixture(host: HostFilter, chosen: Backend) -> str:
    """Why what is in the host's packet filters does not fit together; empty when it does."""
    legacy, nft = (_KUBE.search(listing) is not None for listing in (host.legacy, host.nft))
    if legacy and nft:
        return "chains of Kubernetes (KUBE-…) are in iptables-legacy and in iptables-nft"
    if (legacy and chosen is not Backend.LEGACY) or (nft and chosen is Backend.LEGACY):
        theirs = Backend.LEGACY if legacy else Backend.NFT
        return f"ours is {chosen}, the chains of Kubernetes (KUBE-…) are in {theirs}"
    return ""


def knows_random_fully(version: str) -> bool:
    """iptables has the flag since 1.6.2; an unreadable version is taken for a new one."""
    found = _VERSION.search(version)
    return found is None or tuple(map(int, found.groups())) >= _RANDOM_FULLY_SINCE

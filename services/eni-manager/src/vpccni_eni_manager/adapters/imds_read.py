"""Which metadata paths are read and what they mean (ipam.md 5.3, 5.4 of the original's behaviour)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

from vpccni_api.reasons import Reason, ReasonError

from vpccni_eni_manager.domain.model import Eni, Node

Get = Callable[[str], str | None]
"""The text at a path below /latest/, or None when there is nothing there (404)."""
_MACS: Final = "meta-data/network/interfaces/macs"


def _need(get: Get, path: str) -> str:
    found = get(path)
    if found is None or not found.strip():
        raise ReasonError(Reason.IMDS_UNREACHABLE, f"instance metadata has nothing at {path}")
    return found.strip()


def _words(text: str | None) -> tuple[str, ...]:
    """Lists are separated by white space; a directory entry ends in "/"."""
    return tuple(word.rstrip("/") for word in (text or "").split())


def read_macs(get: Get) -> tuple[str, ...]:
    """MAC addresses of the attached ENIs, sorted."""
    return tuple(sorted(_words(_need(get, _MACS))))


def read_node(get: Get) -> Node:
    """Identity and VPC of the instance. Raises ReasonError(IMDS_UNREACHABLE) naming the path that is missing."""
    primary_mac = _need(get, "meta-data/mac")
    base = f"{_MACS}/{primary_mac}"
    return Node(
        instance_id=_need(get, "meta-data/instance-id"),
        instance_type=_need(get, "meta-data/instance-type"),
        region=read_region(get),
        availability_zone=_need(get, "meta-data/placement/availability-zone"),
        vpc_id=_need(get, f"{base}/vpc-id"),
        subnet_id=_need(get, f"{base}/subnet-id"),
        primary_mac=primary_mac,
        primary_ip=_need(get, "meta-data/local-ipv4"),
        primary_ipv6=(get("meta-data/ipv6") or "").strip(),
        primary_eni=_need(get, f"{base}/interface-id"),
        vpc_ipv4_cidrs=_words(get(f"{base}/vpc-ipv4-cidr-blocks")),
        vpc_ipv6_cidrs=_words(get(f"{base}/vpc-ipv6-cidr-blocks")),
        security_groups=_words(get(f"{base}/security-group-ids")),
    )


def read_region(get: Get) -> str:
    """From the instance identity document."""
    document = _need(get, "dynamic/instance-identity/document")
    try:
        return str(json.loads(document)["region"])
    except (ValueError, KeyError, TypeError):
        raise ReasonError(Reason.IMDS_UNREACHABLE, "the instance identity document is not JSON with a region") from None


def read_enis(get: Get) -> tuple[Eni, ...]:
    """Every ENI listed. One that vanishes between the listing and its fields (404) fails the whole: read again."""
    primary_mac = _need(get, "meta-data/mac")
    return tuple(_read_eni(get, mac, primary_mac) for mac in read_macs(get))


def _read_eni(get: Get, mac: str, primary_mac: str) -> Eni:
    base = f"{_MACS}/{mac}"
    fields = frozenset(_words(_need(get, f"{base}/")))

    def field(name: str) -> tuple[str, ...]:
        return _words(get(f"{base}/{name}")) if name in fields else ()

    ipv4, ipv6 = field("local-ipv4s"), field("ipv6s")
    primary = mac == primary_mac
    ipv6_cidrs = field("subnet-ipv6-cidr-blocks")
    # A primary ENI is device 0 by definition, whatever IMDS says for a moment.
    device = 0 if primary else int(_need(get, f"{base}/device-number"))
    return Eni(
        eni_id=_need(get, f"{base}/interface-id"),
        mac=mac,
        device_number=device,
        network_card=int(next(iter(field("network-card")), "0")),
        subnet_id=next(iter(field("subnet-id")), ""),
        subnet_cidr=next(iter(field("subnet-ipv4-cidr-block")), ""),
        subnet_ipv6_cidr=ipv6_cidrs[0] if ipv6_cidrs else "",
        primary_ip=ipv4[0] if ipv4 else "",
        secondary_ips=ipv4[1:],
        ipv4_prefixes=field("ipv4-prefix"),
        ipv6_prefixes=field("ipv6-prefix"),
        ipv6_addresses=ipv6,
        security_groups=tuple(sorted(field("security-group-ids"))),
        # No IP stack at all: only EFA-only interfaces are like that.
        interface_type="interface" if ipv4 or ipv6 else "efa-only",
        is_primary=primary,
    )

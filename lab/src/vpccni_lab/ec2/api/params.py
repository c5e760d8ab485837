"""Parameters of a call, as parsed: names of botocore's model, values str, int, bool, list or dict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vpccni_lab.ec2 import errors
from vpccni_lab.ec2.granting import Wish
from vpccni_lab.ec2.records import ConnectionTracking, Tags

Params = Mapping[str, Any]
Result = dict[str, Any]

MAX_TAGS = 50


def need(params: Params, name: str) -> str:
    """A string that must be there. Raises Ec2Error MissingParameter."""
    value = params.get(name)
    if value is None or value == "":
        raise errors.missing(name[0].lower() + name[1:])
    return str(value)


def number(params: Params, name: str, default: int = 0) -> int:
    value = params.get(name)
    return default if value is None else int(value)


def strings(params: Params, name: str) -> tuple[str, ...]:
    return tuple(str(value) for value in params.get(name) or ())


def tags_from(items: Any) -> Tags:
    """Raises Ec2Error for EC2's tag limits (key 1-127 characters, value up to 255, 50 tags, no aws: prefix)."""
    found: dict[str, str] = {}
    for item in items or ():
        key, value = str(item.get("Key", "")), str(item.get("Value", ""))
        if not key or len(key) > 127:
            raise errors.invalid_value(f"Tag key '{key}' is invalid: 1 to 127 characters are allowed")
        if len(value) > 255:
            raise errors.invalid_value(f"Tag value of '{key}' exceeds the maximum length of 255 characters")
        if key.lower().startswith("aws:"):
            raise errors.invalid_value("Tag keys starting with 'aws:' are reserved for internal use")
        if key in found:
            raise errors.invalid_value(f"Duplicate tag key '{key}' specified.")
        found[key] = value
    check_tag_count(found)
    return found


def check_tag_count(tags: Tags) -> None:
    if len(tags) > MAX_TAGS:
        raise errors.Ec2Error(
            "TagLimitExceeded", f"The maximum number of tags for a resource has been reached: {MAX_TAGS}"
        )


def tags_for(params: Params, resource: str) -> Tags:
    """Of TagSpecifications, the tags for this resource type. Another type is refused, as EC2 does."""
    found: Tags = {}
    for specification in params.get("TagSpecifications") or ():
        kind = specification.get("ResourceType", resource)
        if kind != resource:
            raise errors.invalid_value(f"'{kind}' is not a valid taggable resource type for this operation.")
        found = {**found, **tags_from(specification.get("Tags"))}
    return found


def ipv4_wish(params: Params, addresses: tuple[str, ...]) -> Wish:
    """``addresses``: the secondary ones asked for by name. Prefixes come as strings or as {Ipv4Prefix: …}."""
    prefixes = tuple(
        str(item.get("Ipv4Prefix", "")) if isinstance(item, Mapping) else str(item)
        for item in params.get("Ipv4Prefixes") or ()
    )
    return Wish(
        addresses, number(params, "SecondaryPrivateIpAddressCount"), prefixes, number(params, "Ipv4PrefixCount")
    )


def ipv6_wish(params: Params) -> Wish:
    addresses = tuple(
        str(item.get("Ipv6Address", "")) if isinstance(item, Mapping) else str(item)
        for item in params.get("Ipv6Addresses") or ()
    )
    prefixes = tuple(
        str(item.get("Ipv6Prefix", "")) if isinstance(item, Mapping) else str(item)
        for item in params.get("Ipv6Prefixes") or ()
    )
    return Wish(addresses, number(params, "Ipv6AddressCount"), prefixes, number(params, "Ipv6PrefixCount"))


def connection_tracking(params: Params) -> ConnectionTracking | None:
    """Ranges: EC2 API reference, ConnectionTrackingSpecificationRequest."""
    given = params.get("ConnectionTrackingSpecification")
    if not given:
        return None
    ranges = {"TcpEstablishedTimeout": (60, 432000), "UdpTimeout": (30, 60), "UdpStreamTimeout": (60, 180)}
    for name, (low, high) in ranges.items():
        value = given.get(name)
        if value is not None and not low <= int(value) <= high:
            raise errors.invalid_value(
                f"Value ({value}) for parameter {name} is invalid. Valid range: {low} to {high}."
            )
    return ConnectionTracking(
        given.get("TcpEstablishedTimeout"), given.get("UdpTimeout"), given.get("UdpStreamTimeout")
    )

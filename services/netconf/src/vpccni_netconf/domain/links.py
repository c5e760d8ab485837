"""Which link is meant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from vpccni_netconf.domain.names import HASH_DIGITS, POD_LINK, is_pod_link
from vpccni_netconf.domain.objects import LinkFacts

# These carry the MAC of the link below them.
_STACKED: Final = frozenset({"vlan", "macvlan", "macvtap", "ipvlan", "bridge", "bond", "vrf", "team"})


def find_by_mac(links: Sequence[LinkFacts], mac: str) -> LinkFacts | None:
    """The link of an ENI: by MAC, never by name; of several the one that is not stacked on another."""
    found = [link for link in links if link.mac == mac and link.kind not in _STACKED]
    return min(found, key=lambda link: link.index, default=None)


def pod_link_prefixes(links: Sequence[LinkFacts], setting: str) -> tuple[str, ...]:
    """The prefix in the setting, then those of pods that were wired under an earlier one and still run. "vlan" (strict
    branch ENI pods) is left out: those are matched by rules of their own."""
    found = {
        link.name[:-HASH_DIGITS]
        for link in links
        if link.kind == "veth" and POD_LINK.match(link.name) and link.peer_index
    }
    return (setting, *sorted(found - {setting, "vlan", ""}))


def leftover_links(
    links: Sequence[LinkFacts], prefixes: frozenset[str], wanted: frozenset[str]
) -> tuple[LinkFacts, ...]:
    """Host links of pods that nobody asked for."""
    return tuple(
        link for link in links if link.kind == "veth" and is_pod_link(link.name, prefixes) and link.name not in wanted
    )

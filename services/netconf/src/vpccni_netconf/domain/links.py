"""Which link is meant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from vpccni_netconf.domain.names import EGRESS_LINK, HASH_DIGITS, POD_LINK, is_branch_link, is_egress, is_pod_link
from vpccni_netconf.domain.objects import LinkFacts, Route
from vpccni_netconf.domain.spec import PodSpec

# These carry the MAC of the link below them.
_STACKED: Final = frozenset({"vlan", "macvlan", "macvtap", "ipvlan", "bridge", "bond", "vrf", "team"})


def find_by_mac(links: Sequence[LinkFacts], mac: str) -> LinkFacts | None:
    """The link of an ENI: by MAC, never by name; of several the one that is not stacked on another."""
    found = [link for link in links if link.mac == mac and link.kind not in _STACKED]
    return min(found, key=lambda link: link.index, default=None)


def trunk_link(spec: PodSpec, links: Sequence[LinkFacts]) -> str:
    """Name of the trunk ENI's link of a pod with a branch ENI; "" when it is not there, and for other pods."""
    found = find_by_mac(links, spec.branch.trunk_mac) if spec.branch is not None else None
    return found.name if found is not None else ""


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
    links: Sequence[LinkFacts], prefixes: frozenset[str], wanted: frozenset[str], routes: Sequence[Route] = ()
) -> tuple[LinkFacts, ...]:
    """Host links of pods, links of branch ENIs, and egress links that one of ``routes`` goes to, that nobody asked for."""
    rest = [link for link in links if link.name not in wanted]
    staying = {link.peer_netns for link in links if link.name in wanted}
    egress = {route.dev for route in routes if is_egress(route.dst.partition("/")[0])}
    return tuple(link for link in rest if _is_ours(link, prefixes) or _is_egress(link, egress, staying))


def _is_egress(link: LinkFacts, egress: set[str], staying: set[int]) -> bool:
    """An egress link into a namespace that has no wanted link (pods that the original wired have egress links, too, and others
    name links so as well)."""
    named = link.kind == "veth" and EGRESS_LINK.match(link.name) is not None
    return named and link.name in egress and link.peer_netns not in staying | {-1}


def _is_ours(link: LinkFacts, prefixes: frozenset[str]) -> bool:
    if link.kind == "vlan":
        return is_branch_link(link.name)
    return link.kind == "veth" and is_pod_link(link.name, prefixes)

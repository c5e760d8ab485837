"""Text of the nft rule set that makes security groups filter, at the router, with connection tracking. Pure.

What EC2 does (user guide, "Security groups"): rules allow and what no rule allows is dropped; answers to what was allowed pass;
traffic between two ENIs needs the sender's egress and the receiver's ingress rules. Metadata and the gateway's own
addresses are not filtered. ENIs whose groups allow everything have no rules here, and without any others there is no table.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from vpccni_lab.ec2.records import Eni, Rule, SecurityGroup

DENIED: Final = "denied"
"""Name of the counter."""
TABLE: Final = "inet groups"
_EVERYWHERE: Final = frozenset({"0.0.0.0/0", "::/0"})


def rule_set(links: Mapping[str, Eni], groups: Mapping[str, SecurityGroup]) -> str:
    """The whole table; empty when nothing is filtered. ``links``: the router's link of each ENI."""
    of_link = {
        link: _rules(eni, groups) for link, eni in sorted(links.items()) if not groups.keys().isdisjoint(eni.groups)
    }
    filtered = {link: rules for link, rules in of_link.items() if not (_open(rules, True) and _open(rules, False))}
    if not filtered:
        return ""
    named = sorted({rule.source for rules in filtered.values() for rule in rules if "/" not in rule.source})
    lines = [f"table {TABLE} {{", f"  counter {DENIED} {{ }}"]
    lines += [line for group in named for line in _sets(group, links.values())]
    for link, rules in filtered.items():
        lines += _chain(f"out-{link}", [rule for rule in rules if rule.egress], "daddr")
        lines += _chain(f"in-{link}", [rule for rule in rules if not rule.egress], "saddr")
    lines += [
        "  chain forward {",
        "    type filter hook forward priority filter; policy accept;",
        "    ct state established,related accept",
        f"    iifname vmap {{ {_jumps('out', filtered)} }}",
        f"    oifname vmap {{ {_jumps('in', filtered)} }}",
        "  }",
        "}",
    ]
    return "\n".join(lines) + "\n"


def replacement(text: str) -> str:
    """The script that puts ``text`` (from :func:`rule_set`) in the place of what is there, at once."""
    return f"table {TABLE} {{ }}\ndelete table {TABLE}\n{text}"


def _rules(eni: Eni, groups: Mapping[str, SecurityGroup]) -> list[Rule]:
    return [rule for group in eni.groups if group in groups for rule in groups[group].rules]


def _open(rules: Sequence[Rule], egress: bool) -> bool:
    return {rule.source for rule in rules if rule.egress is egress and rule.protocol == "-1"} >= _EVERYWHERE


def _jumps(direction: str, links: Iterable[str]) -> str:
    return ", ".join(f'"{link}" : jump {direction}-{link}' for link in links)


def _chain(name: str, rules: Sequence[Rule], field: str) -> list[str]:
    allowed = [f"    {match} return" for rule in rules for match in _matches(rule, field)]
    return [f"  chain {name} {{", *dict.fromkeys(allowed), f"    counter name {DENIED} drop", "  }"]


def _matches(rule: Rule, field: str) -> list[str]:
    """nft matches of one rule; a group stands for both families."""
    protocol = _protocol(rule)
    if "/" not in rule.source:
        return [f"{family} {field} @{rule.source}-{number}{protocol}" for family, number in (("ip", 4), ("ip6", 6))]
    network = ipaddress.ip_network(rule.source)
    family = "ip" if network.version == 4 else "ip6"
    if network.prefixlen == 0:
        return [f"meta nfproto {'ipv4' if network.version == 4 else 'ipv6'}{protocol}"]
    return [f"{family} {field} {network}{protocol}"]


def _protocol(rule: Rule) -> str:
    match rule.protocol:
        case "-1":
            return ""
        case "tcp" | "udp":
            return f" {rule.protocol} dport {rule.from_port}-{rule.to_port}"
        case "icmp":
            return " meta l4proto icmp"
        case "icmpv6":
            return " meta l4proto icmpv6"
        case other:
            return f" meta l4proto {other}"


def _sets(group: str, enis: Iterable[Eni]) -> list[str]:
    members = [eni for eni in enis if group in eni.groups]
    four = sorted({*(a for eni in members for a in eni.private_ips), *(p for eni in members for p in eni.prefixes)})
    six = sorted({*(a for e in members for a in e.ipv6_addresses), *(p for e in members for p in e.ipv6_prefixes)})
    return [*_set(f"{group}-4", "ipv4_addr", four), *_set(f"{group}-6", "ipv6_addr", six)]


def _set(name: str, kind: str, elements: Sequence[str]) -> list[str]:
    held = [f"    elements = {{ {', '.join(elements)} }}"] if elements else []
    return [f"  set {name} {{", f"    type {kind}; flags interval;", *held, "  }"]

"""The table ``ip aws-cni``: wish -> `nft -f` text, `nft list table` text -> what it says.

Its base chain runs right after the destination NAT hook's usual priority, as the original's does.
"""

from __future__ import annotations

import re
from typing import Final

from vpccni_netconf.domain.chains import NftConnmark

TABLE: Final = "aws-cni"
DELETE: Final = f"table ip {TABLE}\ndelete table ip {TABLE}\n"
_BASE: Final = "nat-prerouting"
_MARK: Final = "snat-mark"
_HOOK: Final = "type nat hook prerouting priority dstnat + 10; policy accept;"
_COUNTED: Final = re.compile(r"counter(?: packets \d+ bytes \d+)?\s*")
_HEX: Final = re.compile(r"0x0*([0-9a-f]+)")
_PRIORITY: Final = re.compile(r"priority (?:dstnat \+ 10|-90)\b")

Chains = dict[str, tuple[str, ...]]


def wanted(wish: NftConnmark) -> Chains:
    """Rules by chain in the normal form of ``parse``."""
    mark = f"{wish.mark:#x}"
    exempt = [("return" if cidr.endswith("/0") else f"ip daddr {cidr} return") for cidr in wish.exempt]
    return _ordered(
        {
            _MARK: (*exempt, f"ct mark set ct mark | {mark}"),
            _BASE: (
                _HOOK,
                "fib daddr type local return",
                *(f'iifname "{prefix}*" jump {_MARK}' for prefix in wish.prefixes),
                f"meta mark set ct mark & {mark}",
            ),
        }
    )


def render(wish: NftConnmark) -> str:
    """One transaction that puts the whole table in place, whatever was there."""
    chains = wanted(wish)
    lines = [f"table ip {TABLE} {{"]
    for name in (_MARK, _BASE):
        lines.append(f"\tchain {name} {{")
        lines += [f"\t\t{_countable(rule)}" for rule in chains[name]]
        lines.append("\t}")
    return DELETE + "\n".join((*lines, "}", ""))


def _countable(rule: str) -> str:
    if rule == _HOOK or rule.startswith("fib "):
        return rule
    head, jump, target = rule.partition(" jump ")
    return f"{head} counter jump {target}" if jump else f"counter {rule}"


def parse(text: str) -> Chains | None:
    """Rules by chain, without counters; None when there is no such table."""
    chains: dict[str, list[str]] = {}
    current: list[str] = []
    for raw in text.splitlines():
        line = raw.strip()
        if line.startswith("chain "):
            current = chains.setdefault(line.split()[1], [])
        elif line and line != "}" and not line.startswith(("table ", "#")):
            line = _PRIORITY.sub("priority dstnat + 10", line)
            current.append(_HEX.sub(r"0x\1", _COUNTED.sub("", line)))
    return _ordered({name: tuple(rules) for name, rules in chains.items()}) if chains else None


def _ordered(chains: Chains) -> Chains:
    """Exemptions commute, and the original adds them in no particular order."""
    rules = chains.get(_MARK, ())
    exempt = sorted(rule for rule in rules[:-1] if rule.endswith("return"))
    if len(exempt) == len(rules) - 1:
        return chains | {_MARK: (*exempt, *rules[-1:])}
    return chains

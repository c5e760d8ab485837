"""`iptables-save` text -> what it says; wish and listing -> `iptables-restore --noflush` text, one transaction per table."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Final

from vpccni_netconf.domain.chains import (
    Table,
    is_egress_plugin_chain,
    is_egress_plugin_jump,
    is_own_chain,
    is_own_rule,
)
from vpccni_netconf.domain.names import host_cidr

_SET_MARK: Final = re.compile(r"--set-mark (0x[0-9a-f]+)/(0x[0-9a-f]+)")
_MASK: Final = re.compile(r"--mask (0x[0-9a-f]+)")
_BARE_ADDRESS: Final = re.compile(r"(-[ds]) ([0-9a-f.:]+)(?= |$)")
_ANY: Final = re.compile(r"(?:! )?-[ds] (?:0\.0\.0\.0/0|::/0) ")


@dataclasses.dataclass(slots=True)
class Listing:
    """Our part of one table as listed: own chains whole, and our rules in shared chains. ``replaced``: jumps to chains of the
    original's egress plugin, chain and rule as listed."""

    own: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    shared: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    replaced: list[tuple[str, str]] = dataclasses.field(default_factory=list)


def parse(text: str) -> dict[str, Listing]:
    """By table name. Rules that are not ours are not kept."""
    tables: dict[str, Listing] = {}
    current = Listing()
    for line in text.splitlines():
        if line.startswith("*"):
            current = tables.setdefault(line[1:].strip(), Listing())
        elif line.startswith(":"):
            name = line[1:].split(" ", 1)[0]
            if is_own_chain(name):
                current.own.setdefault(name, [])
        elif line.startswith("-A "):
            _, chain, rule = line.split(" ", 2) if line.count(" ") > 1 else (*line.split(" ", 1), "")
            if is_own_chain(chain):
                current.own.setdefault(chain, []).append(normalise(rule))
            elif is_own_rule(rule):
                current.shared.setdefault(chain, []).append(normalise(rule))
            elif not is_egress_plugin_chain(chain) and is_egress_plugin_jump(rule):
                current.replaced.append((chain, rule))
    return tables


def normalise(rule: str) -> str:
    """One spelling for what means the same (other releases of iptables list it otherwise)."""
    rule = _SET_MARK.sub(r"--set-xmark \1/\2", rule)
    rule = _MASK.sub(r"--nfmask \1 --ctmask \1", rule)
    rule = _ANY.sub("", rule)
    return _BARE_ADDRESS.sub(lambda found: f"{found[1]} {host_cidr(found[2])}", rule)


def restore_text(desired: Mapping[str, Table], listed: Mapping[str, Listing]) -> str:
    """Input for `iptables-restore --noflush`; "" when nothing differs. Each table is one transaction: no packet sees it
    half done."""
    parts = []
    for name, table in desired.items():
        lines = [*_table_lines(table, listed.get(name, Listing()))]
        if lines:
            parts += [f"*{name}", *lines, "COMMIT"]
    return "\n".join((*parts, "")) if parts else ""


def _table_lines(table: Table, listed: Listing) -> Iterator[str]:
    rewritten = [name for name, rules in table.own.items() if listed.own.get(name) != list(rules)]
    stale = [name for name in listed.own if name not in table.own]
    replaced = listed.replaced if table.takes_over else []
    targets = [rule.rpartition(" -j ")[2] for _, rule in replaced]
    # Naming a chain empties it (or makes it), so what follows is its whole new content.
    yield from (f":{name} - [0:0]" for name in (*rewritten, *stale, *targets))
    for name in rewritten:
        yield from (f"-A {name} {rule}" for rule in table.own[name])
    for chain in dict.fromkeys((*table.shared, *listed.shared)):
        verb = "-I {} 1" if chain in table.head else "-A {}"
        yield from _shared_lines(chain, verb.format(chain), table.shared.get(chain, ()), listed.shared.get(chain, []))
    yield from (f"-D {chain} {rule}" for chain, rule in replaced)
    yield from (f"-X {name}" for name in (*stale, *targets))


def _shared_lines(chain: str, add: str, wanted: tuple[str, ...], present: list[str]) -> Iterator[str]:
    """Others' rules in the chain stay where they are. (A chain where we go to the head has at most one rule of ours.)"""
    if present == list(wanted):
        return
    kept = [rule for rule in present if rule in wanted]
    if len(set(kept)) == len(kept) and list(wanted[: len(kept)]) == kept:
        # What is there is in order: only add behind it, and take the rest away.
        yield from (f"{add} {rule}" for rule in wanted[len(kept) :])
        yield from (f"-D {chain} {rule}" for rule in present if rule not in wanted)
        return
    yield from (f"-D {chain} {rule}" for rule in present)
    yield from (f"{add} {rule}" for rule in wanted)

"""The VPC on one page, without scripts or anything from outside. Pure: what the daemon says in, HTML out."""

from __future__ import annotations

import collections
import dataclasses
import ipaddress
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

_CELLS_MAX: Final = 1024
"""Addresses of a subnet that are drawn one by one; a larger subnet shows what is taken only."""
_RESERVED: Final = 4  # first addresses of a subnet that are EC2's own; and its last (VPC user guide, "Subnet sizing")
_STATES: Final = ("primary", "secondary", "prefix", "free", "reserved")
_REFRESH_S: Final = 5


@dataclasses.dataclass(frozen=True, slots=True)
class View:
    """``status``, ``enis``, ``faults``: answers of the daemon's operations of that name. ``subnets``: DescribeSubnets.

    ``counts``: (caller, action, code, number). ``pages``: node -> path of its node page.
    """

    status: Mapping[str, Any]
    enis: Mapping[str, Sequence[Mapping[str, Any]]]
    subnets: Sequence[Mapping[str, Any]]
    counts: Sequence[tuple[str, str, str, int]]
    faults: Sequence[Mapping[str, Any]]
    pages: Mapping[str, str]
    now_unix: float


def page(view: View) -> str:
    """HTML; drawn again every five seconds."""
    title = f"VPC {view.status['vpc']} of lab {view.status['name']}"
    shown = time.strftime("%H:%M:%S", time.localtime(view.now_unix))
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content={_REFRESH_S}>",
        f"<title>{escape(title)}</title><style>{_STYLE}</style><h1>{escape(title)} <small>{shown}</small></h1>",
        _nodes(view),
        _faults(view.faults),
        "<h2>Subnets</h2><p>" + " ".join(f"<i class={state}></i> {state}" for state in _STATES),
        *(_subnet(subnet, view.enis) for subnet in view.subnets),
        _calls(view.counts),
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _nodes(view: View) -> str:
    rows = []
    for node in view.status["nodes"]:
        name, enis = node["name"], view.enis.get(node["name"], ())
        down = [service for service, state in node["services"].items() if state["pid"] is None]
        services = f"<span class=bad>{escape(', '.join(down))} down</span>" if down else "all up"
        if not node["services"]:
            services = "none"
        shown = f'<a href="{escape(view.pages[name])}">{escape(name)}</a>' if name in view.pages else escape(name)
        held = sum(len(eni["secondary_ips"]) for eni in enis), sum(len(eni["prefixes"]) for eni in enis)
        rows.append(
            f"<tr><td>{shown}<td>{escape(node['instance_type'])}<td>{escape(node['address'])}"
            f"<td>{len(enis)}<td>{held[0]}<td>{held[1]}<td>{services}"
        )
    return _table("Nodes", "<th>node<th>type<th>address<th>ENIs<th>addresses<th>prefixes<th>services", rows)


def _faults(faults: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        f"<tr><td>{escape(str(one['id']))}<td class=bad>{escape(str(one['kind']))}"
        f"<td>{escape(', '.join(one.get('actions', ())) or 'all')}<td>{escape(', '.join(one.get('callers', ())) or 'all')}"
        f"<td>{one.get('acted', 0)}"
        for one in faults
    ]
    return _table("Faults", "<th>id<th>kind<th>actions<th>callers<th>acted", rows) if rows else ""


def _subnet(subnet: Mapping[str, Any], enis: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    network = ipaddress.ip_network(subnet["CidrBlock"])
    taken = dict(_taken(subnet["SubnetId"], enis))
    about = (
        f"{subnet['SubnetId']} {subnet['CidrBlock']} {subnet['AvailabilityZone']}, "
        f"{subnet['AvailableIpAddressCount']} free{_tags(subnet)}"
    )
    if network.num_addresses <= _CELLS_MAX:
        cells = "".join(_cell(address, network, taken) for address in network)
    else:
        cells = "".join(_cell(address, network, taken) for address in sorted(taken)) or "nothing in use"
    return f"<div class=block><small>{escape(about)}</small><div>{cells}</div></div>"


def _tags(subnet: Mapping[str, Any]) -> str:
    tags = [f"{tag['Key']}={tag['Value']}" for tag in subnet.get("Tags", ())]
    return f", {' '.join(tags)}" if tags else ""


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _taken(
    subnet_id: str, enis: Mapping[str, Sequence[Mapping[str, Any]]]
) -> Iterator[tuple[_Address, tuple[str, str]]]:
    """(address, (state, what holds it)) of every address in use."""
    for node, held in enis.items():
        for eni in held:
            if eni["subnet"] != subnet_id:
                continue
            by = f"{eni['id']} of {node}"
            yield ipaddress.ip_address(eni["private_ip"]), ("primary", by)
            for address in eni["secondary_ips"]:
                yield ipaddress.ip_address(address), ("secondary", by)
            for prefix in eni["prefixes"]:
                for one in ipaddress.ip_network(prefix):
                    yield one, ("prefix", f"{prefix} on {by}")


def _cell(address: _Address, network: _Network, taken: Mapping[_Address, tuple[str, str]]) -> str:
    state, by = taken.get(address, ("free", ""))
    if state == "free" and (
        int(address) - int(network.network_address) < _RESERVED or address == network.broadcast_address
    ):
        state = "reserved"
    return f'<i class={state} title="{escape(f"{address} {state} {by}".strip())}"></i>'


def _calls(counts: Iterable[tuple[str, str, str, int]]) -> str:
    """By action, with who calls, refusals and throttle replies. The lab's own questions (operator) are left out."""
    actions: dict[str, collections.Counter[str]] = {}
    codes: dict[str, collections.Counter[str]] = {}
    for caller, action, code, number in counts:
        if caller == "operator":
            continue
        actions.setdefault(action, collections.Counter())[caller] += number
        if code != "OK":
            codes.setdefault(action, collections.Counter())[code] += number
    rows = [
        f"<tr><td>{escape(action)}<td>{sum(callers.values())}"
        f"<td>{escape(', '.join(f'{name} {number}' for name, number in sorted(callers.items())))}<td>{_codes(codes.get(action))}"
        for action, callers in sorted(actions.items())
    ]
    return _table("EC2 calls", "<th>action<th>calls<th>by<th>refused, throttled", rows or ["<tr><td>none"])


def _codes(found: collections.Counter[str] | None) -> str:
    if not found:
        return "-"
    shown = ", ".join(f"{code} {number}" for code, number in sorted(found.items()))
    return f"<span class=bad>{escape(shown)}</span>"


def _table(title: str, head: str, rows: Iterable[str]) -> str:
    return f"<h2>{title}</h2><table><tr>{head}{''.join(rows)}</table>"


_STYLE: Final = """body{font:15px/1.4 system-ui,sans-serif;max-width:70em;margin:1.5em auto;padding:0 1em;color:#1b1f24;background:#fff}
h1{font-size:1.4em}h2{font-size:1.05em;margin:1.4em 0 .3em}small{color:#57606a;font-weight:400}a{color:#0b5cad}
th{text-align:left;font-weight:400;color:#57606a;white-space:nowrap}td,th{padding-right:1.5em;vertical-align:top}
.bad{color:#b3261e;font-weight:600}.block{margin:.5em 0}
i{display:inline-block;width:12px;height:12px;margin:1px;border:1px solid #8c959f;border-radius:2px;vertical-align:-2px}
i.primary{background:#57606a}i.secondary{background:#1f6feb}i.prefix{background:#2a9d62}i.free{background:#fff}i.reserved{background:#e3e7eb}"""

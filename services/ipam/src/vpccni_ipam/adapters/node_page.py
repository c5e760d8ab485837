"""The introspection's ``/`` for a browser: the node on one page without scripts or anything from outside."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from html import escape
from typing import Final

from vpccni_api.reasons import REASON_INFO, Reason, ReasonError
from vpccni_api.version import VERSION

from vpccni_ipam.domain.model import AddressState, Assignment
from vpccni_ipam.figures import ApiClass, Ec2Figures, Figures
from vpccni_ipam.inspect import AddressLine, CardOverview, CidrLines, EniLines, Overview
from vpccni_ipam.recent import AddRecord

_CELLS_MAX: Final = 256  # of one CIDR; a /80 has more addresses than a page can show
_TARGETS: Final = (
    "WARM_ENI_TARGET",
    "WARM_IP_TARGET",
    "MINIMUM_IP_TARGET",
    "WARM_PREFIX_TARGET",
    "MAX_ENI",
    "ENABLE_PREFIX_DELEGATION",
    "IP_COOLDOWN_PERIOD",
)
_STATES: Final = tuple(str(state) for state in AddressState)


def node_page(
    found: Overview,
    node: str,
    settings: Mapping[str, str],
    figures: Figures,
    ec2: Ec2Figures | ReasonError,
    adds: Iterable[AddRecord],
    now_unix: float,
) -> str:
    """``ec2``: why eni-manager could not be asked, if so. ``adds``: the last ones, the newest last."""
    title = f"aws-node {node}".strip()
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=10><title>{escape(title)}</title>",
        f"<style>{_STYLE}</style><h1>{escape(title)} <small>ipam {VERSION}, {_utc(now_unix)}</small></h1>",
        _counts(found),
        *(_card(card, now_unix) for card in found.cards),
        _rows("Depends on", [(name, _state(d.ok, d.reason, d.message)) for name, d in found.dependencies.items()]),
        "<h2>ENIs and addresses</h2><p>",
        " ".join(f"<i class={state}></i> {state}" for state in _STATES),
        *(_eni(lines, now_unix) for lines in found.enis),
    ]
    if found.branches:
        parts.append(_branches(found.branches, now_unix))
    if found.homeless:
        parts.append(_block("Addresses of ENIs that are not known", "", found.homeless, 0, now_unix))
    parts += [
        _rows("Settings", [(name, escape(settings[name])) for name in _TARGETS if name in settings] + _limits(figures)),
        *_ec2(ec2),
        _rows("Repairs (drift)", [(kind, str(n)) for kind, n in sorted(figures.drift.items())] or [("none", "")]),
        _adds(reversed(tuple(adds)), now_unix),
    ]
    parts.append('<p>For programs: <a href="/v1/enis">/v1/enis</a> and the paths that <code>/v1</code> lists.')
    return "\n".join(parts) + "\n"


def _limits(figures: Figures) -> list[tuple[str, str]]:
    return [
        ("addresses kept at most", str(figures.max_pods or "no cap")),
        ("kubelet's max-pods", str(figures.kubelet_pods or "not known")),
        ("DELs queued on disk", str(figures.pending_dels)),
    ]


def _utc(unix: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(unix))


def _counts(found: Overview) -> str:
    supply = found.supply
    shown = {
        "total": supply.total,
        "assigned": supply.assigned,
        "free": supply.free,
        "cooling": supply.cooling,
        "quarantined": supply.quarantined,
        "ADDs wait": supply.waiting,
        "short of the target": max(found.deficit, 0),
    }
    return "<p class=counts>" + " ".join(f"<span><b>{count}</b> {name}</span>" for name, count in shown.items())


def _card(card: CardOverview, now_unix: float) -> str:
    """How the pool grows; of a further network card also what it holds."""
    growth, supply = card.growth, card.supply
    rows: list[tuple[str, str]] = []
    if card.number:
        rows.append(("addresses", f"{supply.total} total, {supply.assigned} assigned, {supply.free} free"))
    if card.left_out_why:
        rows.append(("left out", escape(card.left_out_why)))
    rows.append(("now", f"active since {_age(growth.since_unix, now_unix)}" if growth.active else "idle"))
    failures = (("last step", growth.error), ("ENI set-up", growth.setup_error), ("limit", growth.limit))
    rows += [(name, _failure(error)) for name, error in failures if error is not None]
    rows += [("subnet", escape(line)) for line in growth.candidates]
    return _rows(f"Network card {card.number}" if card.number else "Growth", rows)


def _failure(error: ReasonError) -> str:
    return _state(False, str(error.reason), error.message)


def _state(ok: bool, reason: str, message: str) -> str:
    if ok:
        return "<span class=ok>ok</span>"
    cure = REASON_INFO[Reason(reason)].hint if reason in Reason.__members__ else ""
    return f"<span class=bad>{escape(reason)}</span> {escape(message)}<br><small>{escape(cure)}</small>"


def _rows(title: str, rows: list[tuple[str, str]]) -> str:
    """The second of each row is HTML already."""
    body = "".join(f"<tr><th>{escape(name)}<td>{value}" for name, value in rows)
    return f"<h2>{title}</h2><table>{body}</table>"


def _ec2(found: Ec2Figures | ReasonError) -> list[str]:
    if isinstance(found, ReasonError):
        return [_rows("EC2 budget", [("eni-manager", _failure(found))])]
    classes = "".join(
        f"<tr><td>{escape(one.name)}<td>{_slowed(one)}<td>{one.ceiling:g}/s<td>{one.level:.1f}" for one in found.classes
    )
    apis = "".join(
        f"<tr><td>{escape(one.api)}<td>{one.calls}<td>{one.errors}<td>{_reason_count(one.throttled)}"
        for one in found.calls
    )
    subnets = "".join(
        f"<tr><td>{escape(one.subnet_id)}<td>{escape(one.zone)}<td>{one.free if one.free >= 0 else '-'}"
        f"<td>{escape(one.refused_why) or 'used'}"
        for one in found.subnets
    )
    return [
        _table("EC2 budget", "<th>class<th>calls now<th>at most<th>level", classes),
        _table("EC2 calls", "<th>action<th>calls<th>errors<th>throttled", apis),
        _table("Subnets of the zone", "<th>subnet<th>zone<th>free<th>for new ENIs", subnets),
    ]


def _slowed(one: ApiClass) -> str:
    shown = f"{one.rate:.2g}/s"
    return f"<span class=bad>{shown}</span>" if one.rate < one.ceiling else shown


def _reason_count(count: int) -> str:
    return f"<span class=bad>{count}</span>" if count else "0"


def _table(title: str, head: str, rows: str) -> str:
    return f"<h2>{title}</h2><table class=list><tr>{head}{rows or '<tr><td>none'}</table>"


def _adds(records: Iterable[AddRecord], now_unix: float) -> str:
    rows = "".join(
        f"<tr><td>{_age(add.at_unix, now_unix)} ago<td>{escape(add.pod)}<td>{add.seconds * 1000:.1f} ms"
        f"<td>{_reason(add.reason)}<td><code>{escape(add.trace_id)}</code>"
        for add in records
    )
    return _table("The last ADDs", "<th>when<th>pod<th>time in ipam<th>result<th>trace", rows)


def _reason(reason: str) -> str:
    return f"<span class=bad>{escape(reason)}</span>" if reason else "<span class=ok>ok</span>"


def _eni(lines: EniLines, now_unix: float) -> str:
    facts = lines.eni.facts
    kinds = [name for name in ("primary", "trunk", "efa") if getattr(facts, f"is_{name}")]
    head = f"{facts.eni_id} {' '.join(kinds)}"
    about = (
        f"{lines.state}, {lines.eni.used} of {lines.eni.total} in use, card {facts.network_card} device {facts.device_number}, "
        f"table {lines.eni.route_table or 'main'}, {facts.primary_ip} {facts.subnet_id}"
    )
    singles = [line for cidr in lines.cidrs if not cidr.is_prefix for line in cidr.addresses]
    prefixes = [_prefix(cidr, now_unix) for cidr in lines.cidrs if cidr.is_prefix]
    return _block(head, about, tuple(singles), 0, now_unix) + "".join(prefixes)


def _prefix(cidr: CidrLines, now_unix: float) -> str:
    return _block("", cidr.cidr, cidr.addresses, cidr.size - len(cidr.addresses), now_unix)


def _branches(items: tuple[Assignment, ...], now_unix: float) -> str:
    rows = [(f"{item.pod.namespace}/{item.pod.name}", _branch(item, now_unix)) for item in items]
    return _rows("Pods with branch ENIs", rows)


def _branch(item: Assignment, now_unix: float) -> str:
    vlan = item.branch.vlan_id if item.branch else "-"
    return escape(f"{item.address}, {item.eni_id}, VLAN {vlan}, {_age(item.assigned_unix_ns / 1e9, now_unix)}")


def _block(head: str, about: str, lines: tuple[AddressLine, ...], unused: int, now_unix: float) -> str:
    """One ENI or prefix; ``unused``: addresses of a prefix that no pod has had."""
    cells = "".join(_cell(line, now_unix) for line in lines[:_CELLS_MAX])
    room = _CELLS_MAX - len(lines)
    cells += "<i class=free></i>" * max(0, min(unused, room))
    more = f" and {unused - room} more" if unused > room else ""
    title = f"<h3>{escape(head)}</h3>" if head else ""
    return f"{title}<div class=block><small>{escape(about)}</small><div>{cells}{more}</div></div>"


def _cell(line: AddressLine, now_unix: float) -> str:
    pod = f" {line.pod.namespace}/{line.pod.name}" if line.pod is not None else ""
    since = f", {_age(line.since_unix, now_unix)}" if line.since_unix else ""
    return f'<i class={line.state} title="{escape(f"{line.address} {line.state}{pod}{since}")}"></i>'


def _age(unix: float, now_unix: float) -> str:
    return f"{max(0, int(now_unix - unix))} s"


_STYLE: Final = """body{font:15px/1.4 system-ui,sans-serif;max-width:64em;margin:1.5em auto;padding:0 1em;color:#1b1f24;background:#fff}
h1{font-size:1.4em}h2{font-size:1.05em;margin:1.4em 0 .3em}h3{font-size:1em;margin:.9em 0 .1em}small{color:#57606a;font-weight:400}
th{text-align:left;font-weight:400;padding-right:1.5em;vertical-align:top;white-space:nowrap}td{overflow-wrap:anywhere}
.counts span{display:inline-block;margin-right:1.5em}.counts b{font-size:1.6em}.ok{color:#116329}.bad{color:#b3261e;font-weight:600}
i{display:inline-block;width:14px;height:14px;margin:1px;border:1px solid #8c959f;border-radius:2px;vertical-align:-2px}
.list td{padding-right:1.5em}.block{margin:.2em 0}i.free{background:#fff}i.assigned{background:#1f6feb}i.cooling{background:#f0b429}i.quarantined{background:#b3261e}"""

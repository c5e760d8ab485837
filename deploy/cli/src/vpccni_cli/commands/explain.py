"""``vpccni explain pod NAMESPACE/NAME`` and ``vpccni explain REASON``."""

from __future__ import annotations

import argparse
from typing import Any

from vpccni_api.reason_causes import REASON_TEXT
from vpccni_api.reasons import REASON_INFO, Reason, ReasonError

from vpccni_cli import node, text
from vpccni_cli.errors import UsageError


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Exit status: 0 when nothing is wrong with the pod, 1 when something is, 2 for a name that is no use."
    )
    parser.add_argument("subject", metavar="pod|REASON", help="the word pod, or the name of a reason")
    parser.add_argument("name", nargs="?", metavar="NAMESPACE/NAME", help="the pod")
    node.configure(parser)


def run(args: argparse.Namespace) -> int:
    if args.subject == "pod":
        if not args.name or args.name.count("/") != 1 or not all(args.name.split("/")):
            raise UsageError(f"pod {args.name or ''!r}; allowed: NAMESPACE/NAME")
        return _pod(args)
    return _reason(args)


def _reason(args: argparse.Namespace) -> int:
    name = args.subject.upper().replace("-", "_")
    if name not in Reason.__members__ or args.name:
        near = [reason for reason in Reason if name in reason or reason in name]
        raise UsageError(f"{args.subject!r} is no reason; allowed: pod NAMESPACE/NAME, {', '.join(near or Reason)}")
    reason = Reason(name)
    info, said = REASON_INFO[reason], REASON_TEXT[reason]
    value = {
        "reason": name,
        "meaning": said.meaning,
        "cause": said.cause,
        "cure": info.hint,
        "owner": info.owner,
        "retryable": info.retryable,
        "cni_code": info.cni_code,
        "alert": said.runbook,
    }
    lines = [name]
    for label in ("meaning", "cause", "cure", "owner"):
        lines += text.field(label, str(value[label]))
    lines += text.field("retry", "may succeed later" if info.retryable else "does not help by itself")
    lines += text.field("alert", said.runbook or "-")
    text.emit(args, value, lines)
    return 0


def _pod(args: argparse.Namespace) -> int:
    namespace, name = args.name.split("/")
    try:
        with node.Node(args.socket, args.timeout) as asked:
            found = asked.inspect()
            mine = [
                item
                for item in node.assigned(found)
                if (item[2].get("pod", {}).get("namespace"), item[2].get("pod", {}).get("name")) == (namespace, name)
            ]
            checked = [asked.check(line) for _, _, line in mine]
    except ReasonError as error:
        return text.emit_error(args, error)
    if not mine:
        value, lines = _absent(args.name, found)
        text.emit(args, value, lines)
        return 1
    interfaces = [_interface(*item, wrong) for item, wrong in zip(mine, checked, strict=True)]
    lines = text.field("pod", f"{args.name} has {len(mine)} address{'es' if len(mine) > 1 else ''}")
    for (eni, cidr, line), wrong in zip(mine, checked, strict=True):
        lines += ["", *_described(eni, cidr, line)]
        lines += text.problem(wrong) if wrong else text.field("kernel", "as recorded")
    last = _last_add(args.name, found)
    lines += ["", *_told(last)]
    text.emit(args, {"pod": args.name, "interfaces": interfaces, "last_add": last}, lines)
    return 1 if any(checked) else 0


def _interface(
    eni: dict[str, Any], cidr: dict[str, Any], line: dict[str, Any], wrong: ReasonError | None
) -> dict[str, Any]:
    held = {key: eni[key] for key in ("eni_id", "state", "subnet_id", "route_table", "device_number", "network_card")}
    return {**line, "cidr": cidr["cidr"], "eni": held, "problem": text.as_json(wrong) if wrong else None}


def _described(eni: dict[str, Any], cidr: dict[str, Any], line: dict[str, Any]) -> list[str]:
    key = line["key"]
    routes = f"table {eni['route_table'] or 'main'}, device {eni['network_card']}/{eni['device_number']}"
    return [
        *text.field(
            "address", f"{line['address']} of {cidr['cidr'] or '-'}, assigned {text.since(line['since_unix_s'])} ago"
        ),
        *text.field("ENI", f"{eni['eni_id'] or 'not known'} ({eni['state']}) in {eni['subnet_id'] or '-'}"),
        *text.field("routes", f"branch ENI, VLAN {eni['branch_vlan']} of the trunk" if eni["branch_vlan"] else routes),
        *text.field("rules", _rules(eni, line["address"])),
        *text.field("interface", f"{key['ifname']} in container {key['container_id']}, network {key['network_name']}"),
    ]


def _rules(eni: dict[str, Any], address: str) -> str:
    """The original's numbers (docs/datapath.md)."""
    if eni["branch_vlan"]:
        return "10 by the VLAN link (strict mode) or 512 and 1536 by the address (standard)"
    leaving = f"; 1536 from {address} table {eni['route_table']}" if eni["route_table"] not in (0, 254) else ""
    return f"512 to {address} table main{leaving}"


def _last_add(pod: str, found: dict[str, Any]) -> dict[str, Any] | None:
    """Of the last fifty of the node."""
    return next((add for add in reversed(found["adds"]) if add["pod"] == pod), None)


def _told(add: dict[str, Any] | None) -> list[str]:
    if add is None:
        return text.field("last ADD", "not among the last fifty")
    result = f"failed with {add['reason']}" if add["reason"] else "succeeded"
    made = text.field(
        "last ADD", f"{text.since(add['at_unix_s'])} ago, {result}, {add['seconds'] * 1000:.1f} ms in ipam"
    )
    return made + text.field("trace", add["trace_id"] or "the plugin sent none")


def _absent(pod: str, found: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """No address: what keeps ADDs of this node from getting one now, as far as ipam knows."""
    growth = found.get("growth", {})
    causes = [
        (item["reason"], f"{item['name']}: {item['message']}") for item in found["dependencies"] if not item["ok"]
    ]
    for name in ("add", "last"):
        if growth.get(f"{name}_reason") and growth[f"{name}_reason"] not in dict(causes):
            causes.append((growth[f"{name}_reason"], growth.get(f"{name}_message", "")))
    last = _last_add(pod, found)
    if last and last["reason"] and last["reason"] not in dict(causes):
        causes.insert(0, (last["reason"], "the pod's last ADD failed with it"))
    lines = text.field("pod", f"{pod} has no address from the pool of node {found['node'] or '-'}")
    lines += text.field(
        "pool", f"{found['free']} free, {found['cooling']} cooling, {growth.get('waiting_adds', 0)} ADDs wait"
    )
    for reason, message in causes:
        lines += [*text.field("because", f"{reason}: {message}"), *text.field("cure", text.cure(reason))]
    if not causes:
        lines += text.field(
            "perhaps",
            "nothing keeps this node from serving it: the pod runs on another node, on the host network, with a branch ENI,"
            " or has ended; if not, its events and the runtime's log say more.",
        )
    lines += _told(last) if last else []
    said = [{"reason": reason, "message": message, "cure": text.cure(reason)} for reason, message in causes]
    value = {"pod": pod, "interfaces": [], "causes": said, "free": found["free"], "cooling": found["cooling"]}
    return {**value, "last_add": last}, lines

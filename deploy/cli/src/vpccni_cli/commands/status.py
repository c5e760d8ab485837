"""``vpccni status``: the node on one screen."""

from __future__ import annotations

import argparse
from typing import Any, Final

from vpccni_api.reasons import ReasonError

from vpccni_cli import node, text

_TARGETS: Final = (
    "WARM_ENI_TARGET",
    "WARM_IP_TARGET",
    "MINIMUM_IP_TARGET",
    "WARM_PREFIX_TARGET",
    "MAX_ENI",
    "ENABLE_PREFIX_DELEGATION",
    "IP_COOLDOWN_PERIOD",
)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Exit status: 0 when all is well, 1 when a dependency is down, growth failed or ipam does not answer."
    )
    node.configure(parser)


def run(args: argparse.Namespace) -> int:
    try:
        with node.Node(args.socket, args.timeout) as asked:
            found = asked.inspect()
    except ReasonError as error:
        return text.emit_error(args, error)
    text.emit(args, found, lines(found))
    return 0 if healthy(found) else 1


def healthy(found: dict[str, Any]) -> bool:
    views = (found, *found.get("cards", []))
    grows = not any(view.get("growth", {}).get("last_reason") for view in views)
    return grows and all(item["ok"] for item in found["dependencies"])


def lines(found: dict[str, Any]) -> list[str]:
    settings = found["settings"]
    shown = " ".join(f"{name}={settings[name]}" for name in _TARGETS if settings.get(name))
    return [
        *text.field("node", f"{found['node'] or '-'}, ipam {found['version']}, {_eni_counts(found['enis'])}"),
        *text.field("addresses", _addresses(found)),
        *cards(found.get("cards", [])),
        *growth(found.get("growth", {})),
        *drift(found),
        *dependencies(found["dependencies"]),
        *text.field("settings", shown or "-"),
        "",
        *enis(found),
    ]


def _addresses(view: dict[str, Any]) -> str:
    """Of the node, or of one network card."""
    counts = ", ".join(f"{view[name]} {name}" for name in ("total", "assigned", "free", "cooling", "quarantined"))
    short = view["deficit"]
    over = "at target" if short == 0 else f"{abs(short)} {'short' if short > 0 else 'over'}"
    return f"{counts} ({over})"


def cards(views: list[dict[str, Any]]) -> list[str]:
    """Each network card, where there are several."""
    made: list[str] = []
    for view in views if len(views) > 1 else []:
        left_out = f"; left out: {view['left_out_why']}" if view["left_out_why"] else ""
        made += text.field(f"  card {view['index']}", _addresses(view) + left_out)
        reason = view.get("growth", {}).get("last_reason", "")
        if reason and view["index"]:  # card 0's is the node's
            made += text.field("    failed", f"{reason}: {view['growth'].get('last_message', '')}")
            made += text.field("    cure", text.cure(reason))
    return made


def _eni_counts(enis: list[dict[str, Any]]) -> str:
    """A pod's branch ENI is on the trunk's link, none of those that are attached to the instance."""
    branches = sum(bool(eni["branch_vlan"]) for eni in enis)
    return f"{len(enis) - branches} ENIs" + (f", branch ENIs of pods: {branches}" if branches else "")


def growth(view: dict[str, Any]) -> list[str]:
    waiting = view.get("waiting_adds", 0)
    now = f"active for {text.since(view.get('since_unix_s', 0))}" if view.get("active") else "idle"
    made = text.field("growth", f"{now}, {waiting} ADDs wait")
    reason = view.get("last_reason", "")
    if reason:
        made += text.field("  failed", f"{reason}: {view.get('last_message', '')}")
        made += text.field("  cure", text.cure(reason))
        for candidate in view.get("candidates", [])[:4]:
            made += text.field("  subnet", text.cut(candidate, text.WIDTH - 12))
    return made


def drift(found: dict[str, Any]) -> list[str]:
    repaired = ", ".join(f"{count} {kind}" for kind, count in sorted(found["drift"].items())) or "none"
    waiting = f"; {found['pending_dels']} DELs wait on disk" if found["pending_dels"] else ""
    failed = [add for add in found["adds"] if add["reason"]]
    made = text.field("drift", f"repaired since the start: {repaired}{waiting}")
    if found["adds"]:
        made += text.field("last ADDs", f"{len(failed)} of {len(found['adds'])} failed")
    if failed:
        last = failed[-1]
        made += text.field("  failed", f"{last['pod']}: {last['reason']}, {text.since(last['at_unix_s'])} ago")
        made += text.field("  cure", text.cure(last["reason"]))
    return made


def dependencies(views: list[dict[str, Any]]) -> list[str]:
    made = text.field("depends on", ", ".join(item["name"] for item in views if item["ok"]) or "-")
    for item in views:
        if not item["ok"]:
            made += text.field("  down", f"{item['name']}: {item['reason']}: {item['message']}")
            made += text.field("  cure", text.cure(item["reason"]))
    return made


def enis(found: dict[str, Any]) -> list[str]:
    rows = []
    for eni in found["enis"]:
        used = sum(1 for cidr in eni["cidrs"] for a in cidr["addresses"] if a.get("key", {}).get("container_id"))
        size = sum(cidr["size"] for cidr in eni["cidrs"])
        kind = [name for name in ("primary", "trunk", "efa") if eni[f"is_{name}"]]
        kind += [f"branch, VLAN {eni['branch_vlan']}"] if eni["branch_vlan"] else []
        prefixes = sum(cidr["is_prefix"] for cidr in eni["cidrs"])
        rows.append(
            (
                eni["eni_id"] or "(not known)",
                eni["state"],
                "-" if eni["branch_vlan"] else f"{eni['network_card']}/{eni['device_number']}",
                "-" if eni["branch_vlan"] else str(eni["route_table"] or "main"),
                f"{used}/{size}",
                str(prefixes),
                eni["subnet_id"] or "-",
                ",".join(kind),
            )
        )
    return text.table(("ENI", "state", "device", "table", "used", "prefixes", "subnet", "kind"), rows)

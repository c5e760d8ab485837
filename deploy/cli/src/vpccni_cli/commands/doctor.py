"""``vpccni doctor``: red or green for what usually goes wrong, with the cure."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from vpccni_api.reasons import ReasonError

from vpccni_cli import aws_checks, node, service, text
from vpccni_cli.host_checks import Finding, Host, checks, kubelet_max_pods

_AWS_S: Final = 30.0
_MARKS: Final = {True: ("ok", "32"), False: ("FAIL", "31"), None: ("-", "0")}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Exit status: 0 when no check fails, 1 when one does."
    mounted = Path("/host")
    root = mounted if (mounted / "etc/cni/net.d").is_dir() else Path("/")
    parser.add_argument("--root", type=Path, default=root, help=f"the node's file system (default: {root})")
    parser.add_argument("--proc", type=Path, default=Path("/proc"), help="/proc in the node's network namespace")
    parser.add_argument(
        "--eni-manager-socket",
        default=service.socket_of("eni-manager"),
        help=f"eni-manager's socket (default: {service.socket_of('eni-manager')})",
    )
    parser.add_argument("--no-aws", action="store_true", help="no dry run of EC2 calls (some 15 calls)")
    node.configure(parser)


def run(args: argparse.Namespace) -> int:
    pool: dict[str, Any] = {}
    findings = [*_services(args, pool), *_aws(args, pool), *checks(Host(args.root, args.proc))]
    failed = [finding for finding in findings if finding.ok is False]
    lines: list[str] = []
    for finding in findings:
        lines += _lines(finding, sys.stdout.isatty())
    lines += ["", f"{len(failed)} of {len(findings)} checks fail"]
    text.emit(args, {"failed": len(failed), "checks": [dataclasses.asdict(item) for item in findings]}, lines)
    return 1 if failed else 0


def _lines(finding: Finding, colour: bool) -> list[str]:
    word, code = _MARKS[finding.ok]
    mark = f"{word:<6}"
    wrapped = text.field(mark, f"{finding.check}: {finding.detail}")
    if colour:
        wrapped[0] = wrapped[0].replace(mark, f"\x1b[{code}m{mark}\x1b[0m", 1)
    return [*wrapped, *(text.field("  cure", finding.cure) if finding.cure else [])]


def _services(args: argparse.Namespace, pool: dict[str, Any]) -> Iterator[Finding]:
    """``pool``: filled with what ipam says."""
    try:
        with node.Node(args.socket, args.timeout) as asked:
            found = asked.inspect()
    except ReasonError as error:
        yield Finding("ipam", False, str(error), error.info.hint)
        return
    pool.update(found)
    yield Finding("ipam", True, f"answers, version {found['version']}")
    for item in found["dependencies"]:
        detail = "answers" if item["ok"] else f"{item['reason']}: {item['message']}"
        yield Finding(item["name"], item["ok"], detail, text.cure(item["reason"]))
    yield _growth(found)
    yield _quarantine(found)


def _growth(found: dict[str, Any]) -> Finding:
    growth = found.get("growth", {})
    reason = growth.get("last_reason", "")
    if reason:
        return Finding("growth", False, f"{reason}: {growth.get('last_message', '')}", text.cure(reason))
    return Finding("growth", True, f"{found['free']} free, {growth.get('waiting_adds', 0)} ADDs wait")


def _quarantine(found: dict[str, Any]) -> Finding:
    count = found["quarantined"]
    cure = text.cure("ADDRESS_QUARANTINED") + " If it stays, somebody detached an ENI." if count else ""
    return Finding("quarantine", count == 0, f"{count} addresses of ENIs that are not known", cure)


def _aws(args: argparse.Namespace, pool: dict[str, Any]) -> Iterator[Finding]:
    """Everything that only eni-manager can know."""
    try:
        # Each of its calls to EC2 may wait for its turn.
        with service.EniManager(args.eni_manager_socket, max(args.timeout, _AWS_S)) as asked:
            yield aws_checks.budget(asked.inspect())
            if not args.no_aws:
                yield from aws_checks.access(asked.check_access())
            instance = asked.describe()
    except ReasonError as error:
        yield Finding("eni-manager", False, str(error), error.info.hint)
        return
    yield from aws_checks.bad_settings("eni-manager", instance["bad_settings"])
    held = aws_checks.addresses_held(instance["limits"], pool.get("settings", {}))
    kubelet = kubelet_max_pods(args.root) or int(pool.get("settings", {}).get("VPCCNI_MAX_PODS", 0))
    yield aws_checks.max_pods(kubelet, held, instance["instance_type"])

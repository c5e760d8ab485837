"""``vpccni doctor``: red or green for what usually goes wrong, with the cure."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from vpccni_api.reasons import ReasonError
from vpccni_api.version import VERSION

from vpccni_cli import aws_checks, node, port_checks, service, service_checks, text
from vpccni_cli.host_checks import Finding, Host, checks, kubelet_max_pods

# Each of eni-manager's calls to EC2 may wait for its turn.
_AWS_S: Final = 30.0
_MARKS: Final = {True: ("ok", "32"), False: ("FAIL", "31"), None: ("-", "0")}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Exit status: 0 when no check fails, 1 when one does."
    mounted = Path("/host")
    root = mounted if (mounted / "etc/cni/net.d").is_dir() else Path("/")
    parser.add_argument("--root", type=Path, default=root, help=f"the node's file system (default: {root})")
    parser.add_argument("--proc", type=Path, default=Path("/proc"), help="/proc in the node's network namespace")
    parser.add_argument("--no-aws", action="store_true", help="no dry run of EC2 calls (some 15 calls)")
    service.configure_leaves(parser)
    node.configure(parser)


def findings(args: argparse.Namespace) -> list[Finding]:
    """Every check, good or bad."""
    told: dict[str, dict[str, Any]] = {}
    found = [*_ipam(args, told), *_netconf(args, told), *_eni_manager(args, told)]
    found += service_checks.versions(VERSION, {name: view["version"] for name, view in told.items()})
    found += port_checks.checks(port_checks.ports_of({name: view["settings"] for name, view in told.items()}))
    found += checks(Host(args.root, args.proc))
    return found


def run(args: argparse.Namespace) -> int:
    found = findings(args)
    failed = [finding for finding in found if finding.ok is False]
    lines: list[str] = []
    for finding in found:
        lines += _lines(finding, sys.stdout.isatty())
    lines += ["", f"{len(failed)} of {len(found)} checks fail"]
    text.emit(args, {"failed": len(failed), "checks": [dataclasses.asdict(item) for item in found]}, lines)
    return 1 if failed else 0


def _lines(finding: Finding, colour: bool) -> list[str]:
    word, code = _MARKS[finding.ok]
    mark = f"{word:<6}"
    wrapped = text.field(mark, f"{finding.check}: {finding.detail}")
    if colour:
        wrapped[0] = wrapped[0].replace(mark, f"\x1b[{code}m{mark}\x1b[0m", 1)
    return [*wrapped, *(text.field("  cure", finding.cure) if finding.cure else [])]


def _ipam(args: argparse.Namespace, told: dict[str, dict[str, Any]]) -> Iterator[Finding]:
    """``told``: filled with what each service says, here and below."""
    try:
        with node.Node(args.socket, args.timeout) as asked:
            told["ipam"] = asked.inspect()
    except ReasonError as error:
        yield Finding("ipam", False, str(error), error.info.hint)
        return
    yield from service_checks.ipam(told["ipam"])


def _netconf(args: argparse.Namespace, told: dict[str, dict[str, Any]]) -> Iterator[Finding]:
    try:
        with service.Netconf(args.netconf_socket, args.timeout) as asked:
            told["netconf"] = asked.inspect()
    except ReasonError as error:
        yield Finding("netconf, asked directly", False, str(error), error.info.hint)
        return
    yield from service_checks.netconf(told["netconf"])


def _eni_manager(args: argparse.Namespace, told: dict[str, dict[str, Any]]) -> Iterator[Finding]:
    """Everything that only eni-manager can know."""
    try:
        with service.EniManager(args.eni_manager_socket, max(args.timeout, _AWS_S)) as asked:
            told["eni-manager"] = asked.inspect()
            yield aws_checks.budget(told["eni-manager"])
            if not args.no_aws:
                yield from aws_checks.access(asked.check_access())
            instance = asked.describe()
    except ReasonError as error:
        yield Finding("eni-manager, asked directly", False, str(error), error.info.hint)
        return
    yield from service_checks.bad_settings("eni-manager", instance["bad_settings"])
    pool = told.get("ipam", {})
    held = aws_checks.addresses_held(instance["limits"], pool.get("settings", {}))
    kubelet = kubelet_max_pods(args.root) or pool.get("kubelet_pods")
    yield aws_checks.max_pods(kubelet, held, instance["instance_type"])

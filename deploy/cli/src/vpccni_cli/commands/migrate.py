"""``vpccni migrate``: from the original's DaemonSet to values of our chart, with a reason for every difference."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import yaml

from vpccni_cli.errors import UsageError
from vpccni_cli.migration import facts, plan, render, workload
from vpccni_cli.migration.verdict import Outcome

_FORMS: Final = {"values": render.values, "report": render.report, "json": render.as_json}
_KUBECTL_TIMEOUT_S: Final = 60


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Exit status: 0 when everything is carried over, 1 when something is refused, 2 when the input is no use."
    )
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="YAML or JSON with the DaemonSet, and if you like its ServiceAccount and ConfigMaps; - is standard input;"
        " none: ask the cluster by kubectl",
    )
    parser.add_argument(
        "-o", "--output", choices=sorted(_FORMS), default="values", help="what to print (default: values)"
    )
    parser.add_argument("-n", "--namespace", default="kube-system", help="namespace to ask (default: kube-system)")
    parser.add_argument("--name", default=workload.DAEMON, help=f"name of the DaemonSet (default: {workload.DAEMON})")
    parser.add_argument("--context", default="", help="kubectl context")


def run(args: argparse.Namespace) -> int:
    documents = list(_from_files(args.files)) if args.files else _from_cluster(args)
    made = plan.make(workload.read(documents, args.name), facts.load())
    sys.stdout.write(_FORMS[args.output](made))
    sys.stdout.flush()
    refused = made.of(Outcome.REFUSED)
    sys.stderr.write(f"vpccni migrate: {render.summary(made)}\n")
    for verdict in refused:
        sys.stderr.write(f"  refused: {verdict.subject}: {verdict.why}\n")
    return 1 if refused else 0


def _from_files(names: Iterable[str]) -> Iterable[Any]:
    for name in names:
        try:
            text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{name}: {error}") from None
        yield from _parsed(text, name)


def _parsed(text: str, name: str) -> list[Any]:
    try:
        return list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        raise UsageError(f"{name}: neither YAML nor JSON: {' '.join(str(error).split())}") from None


def _from_cluster(args: argparse.Namespace) -> list[Any]:
    """The DaemonSet and what belongs to it, by kubectl."""
    context = ["--context", args.context] if args.context else []
    wanted = [
        f"daemonset/{args.name}",
        f"serviceaccount/{workload.DAEMON}",
        "configmap/amazon-vpc-cni",
        f"configmap/{workload.DAEMON}",
    ]
    command = [
        "kubectl",
        *context,
        "-n",
        args.namespace,
        "get",
        *wanted,
        "--ignore-not-found",
        "--show-managed-fields",
        "-o",
        "json",
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_KUBECTL_TIMEOUT_S)
    except FileNotFoundError:
        raise UsageError("no kubectl on the PATH: give a file, or - and the DaemonSet on standard input") from None
    except subprocess.TimeoutExpired:
        raise UsageError(f"kubectl did not answer within {_KUBECTL_TIMEOUT_S} s") from None
    if done.returncode:
        raise UsageError(f"kubectl: {done.stderr.strip()}")
    return _parsed(done.stdout, "kubectl")

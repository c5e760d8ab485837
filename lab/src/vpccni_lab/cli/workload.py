"""Commands on pods: run, ps, rm, check."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import time
from collections.abc import Sequence

from vpccni_api.reasons import Reason, ReasonError

from vpccni_lab.cli.args import assignments
from vpccni_lab.cli.lab import add_lab_flag
from vpccni_lab.cli.output import Progress, milliseconds, table
from vpccni_lab.client import LabClient
from vpccni_lab.demo import ask, expect
from vpccni_lab.demo.ask import Row
from vpccni_lab.nodes.node import Node
from vpccni_lab.runtime import pods as podlib
from vpccni_lab.runtime.pods import Failure, Pod, Pods


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declares this module's commands."""
    run = commands.add_parser("run", help="start pods through the nodes' CNI")
    run.add_argument("-n", "--count", type=int, default=1, help="number of pods (default 1), spread over the nodes")
    run.add_argument("--node", action="append", help="only on this node; repeat for several")
    run.add_argument("--name", default="pod", help="first part of the pods' names (default pod)")
    run.add_argument("--namespace", default="default", help="Kubernetes namespace (default default)")
    run.add_argument("--annotation", action="append", default=[], metavar="NAME=VALUE", help="pod annotation; repeat")
    run.add_argument("--at-once", type=int, default=16, help="how many ADDs run at the same time per node (default 16)")
    add_lab_flag(run)
    run.set_defaults(run=run_run)
    ps = commands.add_parser("ps", help="pods with addresses and ENIs")
    add_lab_flag(ps)
    ps.set_defaults(run=run_ps)
    rm = commands.add_parser("rm", help="stop pods")
    rm.add_argument("pod", nargs="*", help="names of pods")
    rm.add_argument("--all", action="store_true", help="all pods")
    add_lab_flag(rm)
    rm.set_defaults(run=run_rm)
    check = commands.add_parser("check", help="probe every path with packets; expected beside observed")
    add_lab_flag(check)
    check.set_defaults(run=run_check)


def run_run(args: argparse.Namespace) -> int:
    """Starts pods; exit status 1 when one failed."""
    with LabClient(args.lab) as lab:
        nodes = [lab.node(name) for name in args.node] if args.node else lab.nodes(cni="vpccni") or lab.nodes()
    annotations = assignments(args.annotation, "--annotation")
    names = _fresh_names(args.name, nodes)
    wanted: dict[str, list[Pod]] = {node.name: [] for node in nodes}
    for _, node in zip(range(args.count), itertools.cycle(nodes), strict=False):
        wanted[node.name].append(podlib.new_pod(node.name, next(names), args.namespace, annotations))
    progress = Progress()
    outcomes = start(nodes, wanted, progress, args.at_once)
    rows = [
        (outcome.name, outcome.node, outcome.address, milliseconds(outcome.add_seconds))
        for outcome in outcomes
        if isinstance(outcome, Pod)
    ]
    if rows:
        print(table(["POD", "NODE", "ADDRESS", "ADD"], rows))
    return _report_failures(outcomes)


def start(
    nodes: Sequence[Node], wanted: dict[str, list[Pod]], progress: Progress, at_once: int = 16
) -> list[Pod | Failure]:
    """Starts pods on several nodes at once. Order: by node."""
    begin, total, count = time.monotonic(), sum(map(len, wanted.values())), itertools.count(1)

    def done(outcome: Pod | Failure) -> None:
        number = next(count)
        if number % 10 == 0 or number == total:
            progress(f"{number} of {total} pods")

    with contextlib.ExitStack() as stack:
        runtimes = {node.name: stack.enter_context(Pods(node, workers=at_once)) for node in nodes}
        pending = [runtimes[name].start(pods, done) for name, pods in wanted.items()]
        outcomes = [outcome for node_pods in pending for outcome in node_pods]
    failed = sum(isinstance(outcome, Failure) for outcome in outcomes)
    progress(f"{total - failed} of {total} pods started in {time.monotonic() - begin:.2f} s")
    return outcomes


def stop(nodes: Sequence[Node], chosen: dict[str, list[Pod]], progress: Progress) -> list[Pod | Failure]:
    """Stops pods on several nodes at once. Order: by node."""
    begin = time.monotonic()
    with contextlib.ExitStack() as stack:
        runtimes = {node.name: stack.enter_context(Pods(node)) for node in nodes}
        pending = [runtimes[name].stop(pods) for name, pods in chosen.items()]
        outcomes = [outcome for node_pods in pending for outcome in node_pods]
    failed = sum(isinstance(outcome, Failure) for outcome in outcomes)
    progress(f"{len(outcomes) - failed} of {len(outcomes)} pods stopped in {time.monotonic() - begin:.2f} s")
    return outcomes


def run_ps(args: argparse.Namespace) -> int:
    """Lists pods."""
    with LabClient(args.lab) as lab:
        nodes, enis = lab.nodes(), lab.enis()
    held = {
        address: (eni["id"], eni["link"])
        for of_node in enis.values()
        for eni in of_node
        for address in [*eni["secondary_ips"], *eni["ipv6_addresses"]]
    }
    rows = [
        (pod.namespace, pod.name, node.name, pod.address or "(starting)", *held.get(pod.address, ("?", "?")))
        for node in nodes
        for pod in podlib.recorded(node)
    ]
    print(table(["NAMESPACE", "POD", "NODE", "ADDRESS", "ENI", "LINK"], rows))
    return 0


def run_rm(args: argparse.Namespace) -> int:
    """Stops pods; exit status 1 when one failed or is not known."""
    if not args.pod and not args.all:
        raise ReasonError(Reason.REQUEST_INVALID, "rm: name pods, or use --all")
    with LabClient(args.lab) as lab:
        nodes = lab.nodes()
    chosen = {node.name: [pod for pod in podlib.recorded(node) if args.all or pod.name in args.pod] for node in nodes}
    unknown = set(args.pod) - {pod.name for pods in chosen.values() for pod in pods}
    if unknown:
        raise ReasonError(Reason.UNKNOWN_POD, f"no pod is called {', '.join(sorted(unknown))}")
    return _report_failures(stop(nodes, chosen, Progress()))


def run_check(args: argparse.Namespace) -> int:
    """Probes all paths; exit status 1 when a row differs."""
    with LabClient(args.lab) as lab:
        world = ask.world_of(lab)
    if not world.pods:
        raise ReasonError(Reason.REQUEST_INVALID, "there are no pods to check: start some with `vpclab run -n 10`")
    rows = list(ask.observe([*expect.rows(world), *expect.spoofed(world)]))
    print(rows_table(rows))
    return 0 if all(row.ok for row in rows) else 1


def rows_table(rows: Sequence[Row]) -> str:
    """Expected beside observed; what differs is told in full below."""
    cells = [
        (
            row.name,
            row.probes or "-",
            row.expected,
            row.observed if row.ok else row.observed[:22],
            "ok" if row.ok else "NO",
        )
        for row in rows
    ]
    text = table(["PATH", "PROBES", "EXPECTED", "OBSERVED", ""], cells)
    return "\n".join([text, *(f"\n{row.name}: {row.observed}" for row in rows if not row.ok)])


def _fresh_names(prefix: str, nodes: Sequence[Node]) -> itertools.filterfalse[str]:
    taken = {pod.name for node in nodes for pod in podlib.recorded(node)}
    return itertools.filterfalse(taken.__contains__, (f"{prefix}-{number}" for number in itertools.count(1)))


def _report_failures(outcomes: Sequence[Pod | Failure]) -> int:
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    for failure in failures:
        print(f"{failure.pod.name} on {failure.pod.node}: {failure.error}")
    return 1 if failures else 0

"""Commands inside nodes: exec, service, logs, trace."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from vpccni_api.reasons import Reason, ReasonError

from vpccni_lab.cli.lab import add_lab_flag
from vpccni_lab.cli.output import table
from vpccni_lab.client import LabClient
from vpccni_lab.linux import syscalls
from vpccni_lab.nodes.node import Node
from vpccni_lab.runtime import pods as podlib
from vpccni_lab.state import State


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declares this module's commands."""
    execute = commands.add_parser("exec", help="run a program in a node or in a pod: vpclab exec node-a -- ip rule")
    add_lab_flag(execute)
    execute.add_argument("where", help="name of a node or of a pod")
    execute.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- PROGRAM…", help="default: a shell")
    execute.set_defaults(run=run_exec)
    service = commands.add_parser("service", help="start, stop, restart or kill (-9) a service of a node")
    service.add_argument("node")
    service.add_argument("service", choices=["netconf", "eni-manager", "ipam", "all"])
    service.add_argument("do", choices=["start", "stop", "restart", "kill"])
    add_lab_flag(service)
    service.set_defaults(run=run_service)
    logs = commands.add_parser("logs", help="log of a service, of the plugin, or of the lab's daemon")
    logs.add_argument("where", help="a node, or `daemon`")
    logs.add_argument("service", nargs="?", help="netconf, eni-manager, ipam or plugin")
    logs.add_argument("-f", "--follow", action="store_true", help="go on as it grows")
    add_lab_flag(logs)
    logs.set_defaults(run=run_logs)
    trace = commands.add_parser("trace", help="span tree of a pod's ADD, of a trace id, or of the newest ADD")
    trace.add_argument("what", nargs="?", help="name of a pod, or a trace id")
    trace.add_argument("--png", type=Path, metavar="FILE", help="draw it as a waterfall, too")
    trace.add_argument("--jaeger", metavar="URL", help="read it from the query API of a Jaeger instead of the lab")
    add_lab_flag(trace)
    trace.set_defaults(run=run_trace)


def run_exec(args: argparse.Namespace) -> int:
    """Becomes the program, inside the node (and the pod)."""
    argv = args.argv[1:] if args.argv[:1] == ["--"] else args.argv
    argv = argv or [os.environ.get("SHELL", "/bin/sh")]
    node, netns = _place(args.lab, args.where)
    fd = os.open(netns, os.O_RDONLY | os.O_CLOEXEC) if netns else None
    node.enter()
    if fd is not None:
        syscalls.setns(fd, syscalls.CLONE_NEWNET)
    os.chdir("/")
    try:
        os.execvp(argv[0], argv)
    except OSError as exc:
        raise ReasonError(Reason.REQUEST_INVALID, f"{argv[0]}: {exc.strerror}") from exc


def _place(lab: str, where: str) -> tuple[Node, Path | None]:
    nodes = State(lab).nodes()
    for node in nodes:
        if node.name == where:
            return node, None
    for node in nodes:
        for pod in podlib.recorded(node):
            if pod.name == where:
                return node, podlib.endpoint(node, pod).netns
    raise ReasonError(Reason.REQUEST_INVALID, f"lab {lab} has no node and no pod called {where!r}")


def run_service(args: argparse.Namespace) -> int:
    """Acts on services; prints what runs afterwards."""
    with LabClient(args.lab) as lab:
        names = ["netconf", "eni-manager", "ipam"] if args.service == "all" else [args.service]
        done = [(name, lab.service(args.node, name, args.do)) for name in names]
        if args.do in ("start", "restart"):
            lab.wait_ready(args.node)
    print(table(["SERVICE", "PID", "EXIT STATUS"], [(n, s["pid"] or "-", _or_dash(s["exit_status"])) for n, s in done]))
    return 0


def _or_dash(value: int | None) -> object:
    return "-" if value is None else value


def run_logs(args: argparse.Namespace) -> int:
    """Prints a log file."""
    state = State(args.lab)
    if args.where == "daemon":
        path = state.logs / "daemon.log"
    elif args.service == "plugin":
        path = state.node_dir(args.where) / "log" / "plugin.log"
    else:
        path = state.logs / f"{args.where}-{args.service or 'ipam'}.log"
    if not path.is_file():
        raise ReasonError(Reason.REQUEST_INVALID, f"no log {path}")
    if args.follow:
        os.execvp("tail", ["tail", "-n", "+1", "-f", str(path)])
    sys.stdout.write(path.read_text(errors="replace"))
    return 0


def run_trace(args: argparse.Namespace) -> int:
    """Prints a span tree; exit status 1 when there are no spans."""
    from vpccni_lab.trace import jaeger
    from vpccni_lab.trace.spans import tree

    with LabClient(args.lab) as lab:
        trace_id = _trace_id(lab, args.what)
        spans = jaeger.trace(args.jaeger, trace_id) if args.jaeger else lab.spans(trace_id, has="cni.add")
    if not spans:
        print(
            f"no spans of trace {trace_id} (exported by the services within a second; is the lab up with --no-traces?)"
        )
        return 1
    print(f"trace {trace_id}")
    print("\n".join(tree(spans)))
    if args.png:
        from vpccni_lab.trace import waterfall  # imports Pillow

        waterfall.draw(spans, args.png, f"trace {trace_id}")
        print(f"drawn to {args.png}")
    return 0


def _trace_id(lab: LabClient, what: str | None) -> str:
    if what is None:
        found = lab.call("traces", name="cni.add", count=1)
        if not found:
            raise ReasonError(Reason.REQUEST_INVALID, "no ADD has been traced yet")
        return str(found[0])
    for node in lab.state.nodes():
        for pod in podlib.recorded(node):
            if pod.name == what:
                return pod.trace_id
    return what

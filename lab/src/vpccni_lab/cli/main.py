"""Entry point of ``vpclab``: parses the command line, runs the command, turns failures into one line and an exit status."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from vpccni_api.reasons import ReasonError

from vpccni_lab.cli import cloud, datapath, demo, lab, nodes, page, plan, profile, workload
from vpccni_lab.fabric.namespaces import NETNS_DIR

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses: done; it failed or something differs from what is expected; wrong command line; Ctrl-C."""


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="vpclab",
        description="A VPC on this machine, with real packets: EC2, IMDS, nodes with the CNI, pods.",
        epilog="Every command but `up`, `down` and `demo` takes -l NAME to say which lab (default demo). Guide: docs/lab.md.",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    lab.add_commands(commands)
    workload.add_commands(commands)
    cloud.add_commands(commands)
    nodes.add_commands(commands)
    page.add_commands(commands)
    demo.add_commands(commands)
    plan.add_commands(commands)
    datapath.add_commands(commands)
    profile.add_commands(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status."""
    arguments = parser().parse_args(argv)
    if os.geteuid() != 0 and not getattr(arguments, "rootless", False):
        print(f"vpclab: must be run as root (it makes network namespaces in {NETNS_DIR})", file=sys.stderr)
        return FAILED
    try:
        return int(arguments.run(arguments))
    except ReasonError as exc:
        print(f"vpclab: {exc}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("vpclab: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output went away
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


if __name__ == "__main__":
    sys.exit(main())

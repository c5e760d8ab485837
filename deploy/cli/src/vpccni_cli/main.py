"""Parses the command line and runs one subcommand. Only the chosen subcommand's module is imported: start-up is what is waited for."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Final

from vpccni_cli.errors import UsageError

# Name -> help; each is a module of ``commands`` with configure(parser) and run(args).
COMMANDS: Final = {
    "status": "Pool, growth and dependencies of this node.",
    "explain": "Why a pod has its address or none, or what a reason means.",
    "verify": "Compare every pod of this node with the kernel.",
    "doctor": "Check what usually goes wrong on a node, with the cure.",
    "top": "Nodes or subnets of the cluster, the neediest first.",
    "bundle": "Write a support archive of this node, secrets masked.",
    "mask": "Copy standard input to standard output without secrets.",
    "migrate": "Read the original's aws-node DaemonSet (1.12 or later) and print equivalent values for our chart.",
}


def parser(chosen: str = "") -> argparse.ArgumentParser:
    """``chosen``: the subcommand whose options are declared; the others are only named."""
    made = argparse.ArgumentParser(prog="vpccni", description="Tools for the VPC CNI of a node and a cluster.")
    subparsers = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in COMMANDS.items():
        sub = subparsers.add_parser(name, help=text, description=text)
        if name == chosen:
            module = importlib.import_module(f"vpccni_cli.commands.{name}")
            module.configure(sub)
            sub.set_defaults(run=module.run)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: the subcommand's; 2 for bad usage or unreadable input."""
    given = list(sys.argv[1:] if argv is None else argv)
    args = parser(next((word for word in given if not word.startswith("-")), "")).parse_args(given)
    try:
        status: int = args.run(args)
        sys.stdout.flush()
    except UsageError as error:
        sys.stderr.write(f"vpccni {args.command}: {error}\n")
        return 2
    except BrokenPipeError:
        return 141
    return status


if __name__ == "__main__":
    sys.exit(main())

"""Parses the command line and runs one subcommand."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Final, Protocol

from vpccni_cli.commands import migrate
from vpccni_cli.errors import UsageError


class Command(Protocol):
    """What this file needs of a subcommand's module."""

    NAME: str
    HELP: str

    def configure(self, parser: argparse.ArgumentParser) -> None: ...
    def run(self, args: argparse.Namespace) -> int: ...


COMMANDS: Final[tuple[Command, ...]] = (migrate,)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="vpccni", description="Tools for the VPC CNI of a cluster.")
    subparsers = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        sub = subparsers.add_parser(command.NAME, help=command.HELP, description=command.HELP)
        command.configure(sub)
        sub.set_defaults(run=command.run)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: the subcommand's; 2 for bad usage or unreadable input."""
    args = parser().parse_args(argv)
    try:
        status: int = args.run(args)
    except UsageError as error:
        sys.stderr.write(f"vpccni {args.command}: {error}\n")
        return 2
    except BrokenPipeError:
        return 141
    return status


if __name__ == "__main__":
    sys.exit(main())

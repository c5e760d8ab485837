"""The subcommands. A module here has NAME, HELP, ``configure(parser)`` and ``run(args) -> exit status``."""

from __future__ import annotations

import argparse
from typing import Final, Protocol

from vpccni_cli.commands import migrate


class Command(Protocol):
    """What main.py needs of a subcommand's module."""

    NAME: str
    HELP: str

    def configure(self, parser: argparse.ArgumentParser) -> None: ...
    def run(self, args: argparse.Namespace) -> int: ...


COMMANDS: Final[tuple[Command, ...]] = (migrate,)

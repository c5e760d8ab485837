"""``vpccni migrate``: stub until the next commit."""

from __future__ import annotations

import argparse
from typing import Final

NAME: Final = "migrate"
HELP: Final = "From a DaemonSet of the original to values of our chart."


def configure(parser: argparse.ArgumentParser) -> None:
    """No arguments yet."""


def run(args: argparse.Namespace) -> int:
    """Not yet."""
    return 2

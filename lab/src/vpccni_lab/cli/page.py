"""Command page."""

from __future__ import annotations

import argparse

from vpccni_api.reasons import Reason, ReasonError

from vpccni_lab.cli.lab import add_lab_flag
from vpccni_lab.client import LabClient


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declares this module's commands."""
    page = commands.add_parser("page", help="serve web pages: the VPC, and the node page of each node")
    page.add_argument("--port", type=int, default=0, help="of 127.0.0.1 (default: any free one)")
    add_lab_flag(page)
    page.set_defaults(run=run_page)


def run_page(args: argparse.Namespace) -> int:
    """Prints the addresses and serves them until Ctrl-C."""
    from vpccni_lab.page.serve import Pages, server

    with LabClient(args.lab) as lab:
        pages = Pages(lab)
        try:
            made = server(pages, args.port)
        except (OSError, OverflowError) as error:
            raise ReasonError(Reason.CONFIG_INVALID, f"--port {args.port}: {error}") from error
        base = f"http://127.0.0.1:{made.server_port}"
        print(f"VPC     {base}/")
        for name, path in pages.paths().items():
            print(f"{name:<7} {base}{path}")
        print("until Ctrl-C", flush=True)
        with made:
            made.serve_forever()
    return 0

"""``vpclab profile``: what the time of an ADD and a DEL goes to; figures to build/profile.json."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vpccni_lab.cli.output import Progress, table
from vpccni_lab.profile.run import profile


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declares the command."""
    command = commands.add_parser("profile", help="time of an ADD and a DEL, step by step")
    command.add_argument("name", nargs="?", default="profile", help="name of the lab (default profile)")
    command.add_argument("--pods", type=int, default=100, help="ADDs and DELs per pass (default 100)")
    command.add_argument(
        "--json",
        type=Path,
        default=Path("build/profile.json"),
        help="where the figures go (default build/profile.json)",
    )
    command.set_defaults(run=run_profile)


def run_profile(args: argparse.Namespace) -> int:
    """Always 0: it measures and judges nothing."""
    progress = Progress()
    report = profile(args.name, args.pods, progress)
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(report, indent=1) + "\n")
    print("\n" + "\n".join(_tables(report)))
    return 0


def _tables(report: Mapping[str, Any]) -> Iterator[str]:
    """The tables."""
    for verb in ("ADD", "DEL"):
        of = report[verb]
        whole = sum(step["milliseconds"] for step in of["steps"] if not step["beside"])
        yield f"{verb}: {of['ms']:.2f} ms, p90 {of['ms_p90']:.2f} ms; with tracing {of['ms_traced']:.2f} ms, of which"
        yield table(["STEP", "MS", "SHARE"], [_row(step, whole) for step in of["steps"]])
        cpu: Sequence[tuple[object, ...]] = [
            (name, f"{part['user']:.2f}", f"{part['kernel']:.2f}") for name, part in of["cpu_ms"].items()
        ]
        yield table(["CPU PER CALL", "USER MS", "KERNEL MS"], cpu) + "\n"


def _row(step: Mapping[str, Any], whole: float) -> tuple[str, str, str]:
    share = "beside" if step["beside"] else f"{100 * step['milliseconds'] / whole:.0f} %"
    return step["name"], f"{step['milliseconds']:.2f}", share

"""``vpclab datapath``: the packet table, expected beside observed; rows to build/datapath.json."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from vpccni_lab.cli.output import Progress, table
from vpccni_lab.datapath import branch, labs
from vpccni_lab.datapath import table as datapath
from vpccni_lab.datapath.observe import Observed


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declares the command."""
    command = commands.add_parser("datapath", help="every path by address mode, SNAT setting and packet filter")
    command.add_argument("name", nargs="?", default="datapath", help="name of the lab (default datapath)")
    command.add_argument(
        "--mode",
        action="append",
        choices=[*(mode.name for mode in labs.MODES), "branch"],
        help="only this mode; repeat for several. branch (security groups for pods) needs a kernel with VLAN devices",
    )
    command.add_argument("--add-to", type=Path, metavar="JSON", help="rows found earlier, to which these are added")
    command.add_argument(
        "--json", type=Path, default=Path("build/datapath.json"), help="where the rows go (default build/datapath.json)"
    )
    command.set_defaults(run=run_datapath)


def run_datapath(args: argparse.Namespace) -> int:
    """Exit status 1 when a row differs."""
    progress = Progress()
    found: list[Observed] = []
    for rows in _blocks(args, progress):
        print("\n" + rows_table(rows), flush=True)
        found += rows
    differ = [row for row in found if not row.ok]
    for row in differ:
        print(f"\n{row.mode}, {row.setting}, {row.backend}: {row.path}: expected {row.expected}; {row.observed}")
    _write(args, found, progress)
    verdict = f"{len(differ)} differ" if differ else "all as expected"
    progress(f"{len(found)} rows, {sum(row.probes for row in found)} probes, {verdict}; written to {args.json}")
    return 1 if differ else 0


def _blocks(args: argparse.Namespace, progress: Progress) -> Iterator[list[Observed]]:
    for mode in labs.MODES:
        if not args.mode or mode.name in args.mode:
            yield from datapath.run(mode, args.name, progress)
    if args.mode and "branch" in args.mode:
        yield from branch.run(args.name, progress)


def _write(args: argparse.Namespace, found: list[Observed], progress: Progress) -> None:
    if args.add_to and args.add_to.is_file():
        new = {row.mode for row in found}
        earlier = [Observed(**row) for row in json.loads(args.add_to.read_text())["rows"]]
        found = [*(row for row in earlier if row.mode not in new), *found]
    differ = [row for row in found if not row.ok]
    report = {
        "ok": not differ,
        "seconds": round(progress.seconds, 1),
        "probes": sum(row.probes for row in found),
        "rows": [dataclasses.asdict(row) for row in found],
    }
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(report, indent=1) + "\n")


def rows_table(rows: Sequence[Observed]) -> str:
    """One mode and setting: a line for each path, a column for each packet filter."""
    backends = list(dict.fromkeys(row.backend for row in rows))
    lines = []
    for path in dict.fromkeys(row.path for row in rows):
        here = [row for row in rows if row.path == path]
        by = {row.backend: row for row in here}
        seen = next((row.observed for row in here if not row.ok), here[0].observed)
        marks = ["-" if backend not in by else "ok" if by[backend].ok else "NO" for backend in backends]
        lines.append((path, here[0].expected, seen, *marks))
    short = [backend.removeprefix("iptables-") for backend in backends]
    title = f"{rows[0].mode}, {rows[0].setting}"
    return f"{title}\n{table(['PATH', 'EXPECTED', 'OBSERVED', *short], lines)}"

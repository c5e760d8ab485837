"""``python -m vpccni_lab.fleet`` (make fleet): a day of 1,000 nodes for each warm-target setting. docs/fleet.md explains the figures."""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from vpccni_api.reasons import ReasonError

from vpccni_lab.cli.args import assignments
from vpccni_lab.cli.output import table
from vpccni_lab.fleet.config import limits_of, node_config
from vpccni_lab.fleet.day import Fleet, Shape
from vpccni_lab.fleet.plot import draw
from vpccni_lab.fleet.report import SUMMARY_HEADERS, Report, action_rows, phase_rows, report_of, summary_rows

_WIDE: Final = 140
SETTINGS: Final[Mapping[str, Mapping[str, str]]] = {
    "WARM_ENI 1 (default)": {"WARM_ENI_TARGET": "1"},
    "WARM_IP 2, MIN 10": {"WARM_IP_TARGET": "2", "MINIMUM_IP_TARGET": "10"},
    "WARM_IP 5, MIN 20": {"WARM_IP_TARGET": "5", "MINIMUM_IP_TARGET": "20"},
    "prefixes, WARM 1": {"ENABLE_PREFIX_DELEGATION": "true", "WARM_PREFIX_TARGET": "1"},
    "prefixes, WARM_IP 5, MIN 20": {
        "ENABLE_PREFIX_DELEGATION": "true",
        "WARM_IP_TARGET": "5",
        "MINIMUM_IP_TARGET": "20",
    },
}


def simulate(name: str, env: Mapping[str, str], shape: Shape) -> Report:
    """One day of one setting."""
    before = time.process_time()
    fleet = Fleet(env, shape)
    fleet.run()
    return report_of(name, env, fleet, time.process_time() - before)


def show(reports: Sequence[Report], shape: Shape) -> str:
    """The tables."""
    parts = [
        f"{shape.nodes} nodes ({shape.instance_type}, {round(shape.nodes * shape.staying)} of them through the night), one day",
        table(SUMMARY_HEADERS, summary_rows(reports), _WIDE),
        table(*action_rows(reports), _WIDE),
        table(*phase_rows(reports), _WIDE),
    ]
    return "\n\n".join(parts)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 1 for a setting that cannot be."""
    parser = argparse.ArgumentParser(prog="python -m vpccni_lab.fleet", description=__doc__)
    parser.add_argument("--nodes", type=int, default=1000, help="at the busiest (default 1000)")
    parser.add_argument("--instance-type", default="m5.large")
    parser.add_argument("--env", action="append", metavar="NAME=VALUE,…", help="a setting; repeat. Default: five")
    parser.add_argument("--out", type=Path, default=Path("build"), help="directory of fleet.json and fleet.png")
    args = parser.parse_args(argv)
    shape = Shape(nodes=args.nodes, instance_type=args.instance_type)
    try:
        settings = {text: assignments(text.split(","), "--env") for text in args.env or ()} or SETTINGS
        for env in settings.values():
            node_config(env, limits_of(shape.instance_type))
    except ReasonError as error:
        print(f"fleet: {error}", file=sys.stderr)
        return 1
    with concurrent.futures.ProcessPoolExecutor(min(len(settings), os.cpu_count() or 1)) as pool:
        names, envs = list(settings), list(settings.values())
        reports = list(pool.map(simulate, names, envs, [shape] * len(names)))
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "fleet.json").write_text(json.dumps([report.to_dict() for report in reports], indent=1) + "\n")
    draw(reports, args.out / "fleet.png")
    print(show(reports, shape))
    print(f"\n{sum(report.cpu_s for report in reports):.0f} s of CPU; {args.out}/fleet.json, {args.out}/fleet.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())

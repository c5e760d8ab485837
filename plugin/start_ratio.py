"""How long the plugin's process takes for VERSION, against a static C program that returns 0 (budget: docs/plugin.md).

Run: python plugin/start_ratio.py [--runs 500] [PROGRAM…]. Prints JSON: microseconds at p10, p50 and p90 of each program and
the ratios of their medians. The programs run by turns, so that a busy machine slows all of them alike.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

PLUGIN: Final = Path(__file__).resolve().parent
BINARY: Final = PLUGIN.parent / "build" / "aws-cni"
CONFIG: Final = '{"cniVersion":"1.0.0","name":"x","type":"aws-cni"}'


def measure(programs: list[str], runs: int) -> dict[str, dict[str, float]]:
    """Program -> p10_us, p50_us, p90_us, ratio. The first one, "nothing", is the yardstick. Needs gcc."""
    with tempfile.TemporaryDirectory() as folder:
        spawn, nothing, config = Path(folder, "spawn"), Path(folder, "nothing"), Path(folder, "config.json")
        subprocess.run(["gcc", "-O2", str(PLUGIN / "measure" / "spawn.c"), "-o", str(spawn)], check=True)
        subprocess.run(["gcc", "-O2", "-static", str(PLUGIN / "measure" / "nothing.c"), "-o", str(nothing)], check=True)
        config.write_text(CONFIG)
        command = [str(spawn), str(runs), str(config), str(nothing), *programs]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    taken: list[list[int]] = [[] for _ in range(len(programs) + 1)]
    for line in done.stdout.splitlines():
        program, nanoseconds = line.split()
        taken[int(program)].append(int(nanoseconds))
    names = ["nothing", *programs]
    yardstick = sorted(taken[0])[runs // 2]
    return {name: _quantiles(sorted(times), yardstick) for name, times in zip(names, taken, strict=True)}


def _quantiles(times: list[int], yardstick: int) -> dict[str, float]:
    count = len(times)
    return {
        "p10_us": round(times[count // 10] / 1000, 1),
        "p50_us": round(times[count // 2] / 1000, 1),
        "p90_us": round(times[count * 9 // 10] / 1000, 1),
        "ratio": round(times[count // 2] / yardstick, 2),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("programs", nargs="*", default=[str(BINARY)])
    arguments = parser.parse_args()
    sys.stdout.write(json.dumps(measure(arguments.programs, arguments.runs), indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

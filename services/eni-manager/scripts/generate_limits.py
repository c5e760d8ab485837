"""Writes src/vpccni_eni_manager/data/instance_limits.txt from the instance types in moto (EC2's DescribeInstanceTypes).

Run in the development environment: ``python services/eni-manager/scripts/generate_limits.py``. With --check: exit
status 1 when the file is not what would be written.
"""

from __future__ import annotations

import gzip
import importlib.resources
import json
import pathlib
import sys

from vpccni_eni_manager.domain import limits

TARGET = pathlib.Path(__file__).parent.parent / "src/vpccni_eni_manager/data/instance_limits.txt"


def table() -> str:
    """One line per type, sorted by name; types without network figures are left out."""
    raw = importlib.resources.files("moto").joinpath("ec2/resources/instance_types.json.gz").read_bytes()
    lines = []
    for name, answer in sorted(json.loads(gzip.decompress(raw)).items()):
        found = limits.from_ec2(name, answer)
        if found is not None:
            lines.append(limits.to_line(name, found))
    return "\n".join(lines) + "\n"


def main() -> int:
    wanted = table()
    if "--check" in sys.argv[1:]:
        return 0 if TARGET.read_text() == wanted else 1
    TARGET.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())

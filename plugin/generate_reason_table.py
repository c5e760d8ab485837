"""Writes src/vpccni_plugin/reason_table.py from vpccni_api: the binary cannot import enums and dataclasses.

Run: python plugin/generate_reason_table.py [--check]. A test runs the check.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from vpccni_api import sockets, version
from vpccni_api.reasons import REASON_INFO, Reason

TARGET: Final = Path(__file__).resolve().parent / "src" / "vpccni_plugin" / "reason_table.py"

# Why an address could not be had. For these an ADD's error keeps the original's sentence "failed to assign an IP
# address to container", which users search for.
POOL_REASONS: Final = (
    Reason.POOL_WARMING,
    Reason.ALL_COOLING,
    Reason.ENI_LIMIT,
    Reason.SUBNET_FULL,
    Reason.SUBNET_NO_PREFIX,
    Reason.NODE_NOT_GROWING,
    Reason.MAX_PODS,
    Reason.EC2_THROTTLED,
    Reason.EC2_UNREACHABLE,
    Reason.EC2_REFUSED,
    Reason.IAM_DENIED,
    Reason.IMDS_UNREACHABLE,
    Reason.ENI_ATTACH_FAILED,
    Reason.ENI_CONFIG_MISSING,
    Reason.ENI_CONFIG_INVALID,
    Reason.SUBNET_NONE_ELIGIBLE,
    Reason.ADDRESS_QUARANTINED,
    Reason.ENI_MANAGER_UNREACHABLE,
    Reason.BRANCH_ENI_MISSING,
    Reason.TRUNK_MISSING,
)


def render() -> str:
    """The text of the module."""
    lines = [
        '"""Generated from vpccni_api by plugin/generate_reason_table.py; do not edit."""',
        "",
        "from __future__ import annotations",
        "",
        f'VERSION = "{version.VERSION}"',
        f'IPAM_SOCKET = "{sockets.IPAM_SOCKET}"',
        f'PENDING_DEL_DIR = "{sockets.PENDING_DEL_DIR}"',
        f'REASON_TRAILER = "{sockets.REASON_TRAILER}"',
        f'ORIGIN_TRAILER = "{sockets.ORIGIN_TRAILER}"',
        "",
        "# reason -> (code of the CNI error object, hint for the operator)",
        "REASONS: dict[str, tuple[int, str]] = {",
    ]
    for reason, info in REASON_INFO.items():
        lines += [
            f'    "{reason.value}": (',
            f"        {info.cni_code},",
            f"        {_literal(info.hint)},",
            "    ),",
        ]
    lines += ["}", "", "# reasons for which no address could be had", "POOL_REASONS = ("]
    lines += [f'    "{reason.value}",' for reason in POOL_REASONS]
    lines += [")", ""]
    return "\n".join(lines)


def _literal(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit 1 when the file is not current")
    wanted = render()
    if parser.parse_args().check:
        current = TARGET.read_text() if TARGET.exists() else ""
        if current != wanted:
            sys.stderr.write(f"{TARGET.name} is not current: run python plugin/generate_reason_table.py\n")
            return 1
        return 0
    TARGET.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Names and settings of the network namespaces of a lab."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from vpccni_api.reasons import Reason, ReasonError

from vpccni_lab.linux import syscalls

NETNS_DIR: Final = Path("/run/netns")
"""Where iproute2 looks for named namespaces, so that ``ip netns exec`` works on the lab's."""


def prefix(lab: str) -> str:
    """What the names of all namespaces of a lab start with. Lab names hold no ``-``, so no lab's prefix starts another's."""
    return f"vpclab-{lab}-"


def path(lab: str, name: str) -> Path:
    """The file by which the namespace ``name`` of ``lab`` is known."""
    return NETNS_DIR / f"{prefix(lab)}{name}"


def of_lab(lab: str) -> list[Path]:
    """Every namespace of ``lab`` that exists now."""
    return sorted(NETNS_DIR.glob(f"{prefix(lab)}*"))


def create(where: Path, sysctls: Mapping[str, str]) -> None:
    """Makes the namespace and sets ``sysctls`` (names with slashes, below net/) in it. Raises OSError."""
    where.parent.mkdir(parents=True, exist_ok=True)
    syscalls.in_new_thread(lambda: syscalls.make_netns(str(where)))
    set_sysctls(where, sysctls)


def set_sysctls(where: Path, sysctls: Mapping[str, str]) -> None:
    """Writes ``/proc/sys/net/<name>`` inside the namespace. Raises OSError naming the file."""

    def write() -> None:
        for name, value in sysctls.items():
            Path("/proc/sys/net", name).write_text(value)

    syscalls.in_netns(where, write)


def nft(where: Path, script: str) -> str:
    """Runs an nft script in the namespace, as one transaction, and returns what it printed."""
    return run(where, ["nft", "-f", "-"], script)


def run(where: Path, argv: list[str], stdin: str = "") -> str:
    """Runs a program in the network namespace and returns its output.

    Raises ReasonError KERNEL_REFUSED with what it said when it fails.
    """
    done = syscalls.in_netns(
        where,
        lambda: subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False, env=dict(os.environ)),
    )
    if done.returncode != 0:
        raise ReasonError(Reason.KERNEL_REFUSED, f"{' '.join(argv)} in {where.name}: {done.stderr.strip()}")
    return done.stdout

"""What kubelet runs before it stops a container (the chart's preStop): the services leave in order, ipam first.

``quiet``: for ipam. While pods of the node are being removed (node shutdown), DEL must still be answered: returns when the
checkpoint holds no allocation, or none was released for ``--quiet`` seconds (an upgrade: nothing is being removed), or
after ``--timeout`` seconds. ``gone``: for netconf and eni-manager. Returns when nobody listens on any ``--port``
(ipam has stopped; after an uninstall: all have), or after ``--timeout`` seconds. Both always end with status 0: a hook that fails ends nothing sooner.

Standard library only, so that the hook starts quickly.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final

_POLL_S: Final = 0.2
_CHECKPOINT: Final = "/var/run/aws-node/ipam.json"

Clock = Callable[[], float]
Sleep = Callable[[float], None]


def allocations(path: str) -> frozenset[tuple[str, str]] | None:
    """(container id, interface) of every allocation in the checkpoint; None when it cannot be read."""
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)["allocations"]
        return frozenset((str(item["containerID"]), str(item["ifName"])) for item in found)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def wait_quiet(
    read: Callable[[], frozenset[tuple[str, str]] | None], quiet_s: float, timeout_s: float, clock: Clock, sleep: Sleep
) -> str:
    """Waits as ``quiet`` says; why it returned. An unreadable checkpoint counts as one that does not change."""
    start = last_release = clock()
    held = read() or frozenset()
    while True:
        if not held:
            return "no allocation left"
        now = clock()
        if now - start >= timeout_s:
            return f"{len(held)} allocations left after {timeout_s:g} s"
        if now - last_release >= quiet_s:
            return f"none of {len(held)} allocations was released for {quiet_s:g} s"
        sleep(_POLL_S)
        current = read()
        if current is not None:
            if held - current:
                last_release = clock()
            held = current


def listens(port: int) -> bool:
    """True when someone accepts TCP connections on this port of the loopback address."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_gone(is_there: Callable[[], bool], timeout_s: float, clock: Clock, sleep: Sleep) -> str:
    """Waits as ``gone`` says; why it returned."""
    start = clock()
    while is_there():
        if clock() - start >= timeout_s:
            return f"still there after {timeout_s:g} s"
        sleep(_POLL_S)
    return "gone"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="vpccni_kit.prestop", description=__doc__)
    ways = parser.add_subparsers(dest="way", required=True)
    quiet = ways.add_parser("quiet")
    quiet.add_argument("--quiet", type=float, default=5.0, help="seconds without a release")
    quiet.add_argument("--timeout", type=float, default=20.0, help="seconds at most")
    checkpoint = os.environ.get("VPCCNI_CHECKPOINT") or os.environ.get("AWS_VPC_K8S_CNI_BACKING_STORE") or _CHECKPOINT
    quiet.add_argument("--checkpoint", default=checkpoint)
    gone = ways.add_parser("gone")
    gone.add_argument("--port", type=int, required=True, action="append", help="may be given several times")
    gone.add_argument("--timeout", type=float, default=30.0, help="seconds at most")
    args = parser.parse_args(argv)
    if args.way == "quiet":
        why = wait_quiet(
            lambda: allocations(args.checkpoint), args.quiet, args.timeout, clock=time.monotonic, sleep=time.sleep
        )
    else:
        why = wait_gone(lambda: any(map(listens, args.port)), args.timeout, clock=time.monotonic, sleep=time.sleep)
    sys.stderr.write(f"preStop {args.way}: {why}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

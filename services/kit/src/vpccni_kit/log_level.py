"""``python3 -m vpccni_kit.log_level debug|setting``: changes what the container's service logs, while it runs (logs.obey_signals)."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 1 when there is no such process."""
    parser = argparse.ArgumentParser(prog="vpccni_kit.log_level", description=(__doc__ or "").partition(": ")[2])
    parser.add_argument("level", choices=("debug", "setting"), help="everything, or what AWS_VPC_K8S_CNI_LOGLEVEL says")
    parser.add_argument("--pid", type=int, default=1, help="the service's process (default: 1, that of a container)")
    args = parser.parse_args(argv)
    try:
        os.kill(args.pid, signal.SIGUSR1 if args.level == "debug" else signal.SIGUSR2)
    except OSError as error:
        sys.stderr.write(f"process {args.pid}: {error.strerror}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

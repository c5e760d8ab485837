"""``vpccni mask``: copies standard input to standard output without secrets, for logs that go into a support archive."""

from __future__ import annotations

import argparse
import sys

from vpccni_cli import mask


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "kubectl logs … | kubectl exec -i … -- vpccni mask"


def run(args: argparse.Namespace) -> int:
    sys.stdout.write(mask.text(sys.stdin.read()))
    return 0

"""Command of the init image, and front of the ipam image: ``python3 -m vpccni_install init|conflist|run|clean``."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from vpccni_api.reasons import ReasonError

from vpccni_install import clean, init, run, write_conflist

log = logging.getLogger("vpccni_install")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="vpccni_install", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("init", help="sysctls, and plugins to the host")
    verbs.add_parser("conflist", help="wait for ipam, write the conflist")
    front = verbs.add_parser("run", help="the conflist step in the background, then become PROGRAM")
    front.add_argument("program", nargs=argparse.REMAINDER, metavar="-- PROGRAM")
    cleaner = verbs.add_parser("clean", help="remove the conflist from the host (after an uninstall)")
    cleaner.add_argument("--plugins", action="store_true", help="aws-cni and egress-cni too")
    cleaner.add_argument("--state", action="store_true", help="sockets, checkpoint and queue too")
    cleaner.add_argument("--force", action="store_true", help="even while pods have addresses")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    try:
        if options.verb == "init":
            init.run(os.environ)
        elif options.verb == "conflist":
            write_conflist.run(os.environ)
        elif options.verb == "clean":
            clean.run(os.environ, plugins=options.plugins, state=options.state, force=options.force)
        else:
            program = options.program[1:] if options.program[:1] == ["--"] else options.program
            if not program:
                parser.error("run needs a program")
            run.run(program)
    except (ReasonError, OSError) as error:
        log.critical("%s: %s", options.verb, error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Use case ``run``: becomes the given program, with the conflist step beside it until that has done its work.

The step is a forked child and the program is exec'd, so nothing of the installer stays in memory. SIGCHLD is ignored
across the exec: the kernel reaps the child, and the program need not know of it.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Sequence

from vpccni_install import write_conflist

log = logging.getLogger(__name__)


def run(argv: Sequence[str]) -> None:
    """Does not return. Raises OSError when ``argv`` cannot be executed."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    if os.fork() == 0:
        status = 1
        try:
            write_conflist.run(os.environ)
            status = 0
        except BaseException:
            log.critical("the conflist was not written", exc_info=True)
            raise
        finally:
            os._exit(status)
    os.execvp(argv[0], list(argv))

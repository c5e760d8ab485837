"""``python -m vpccni_plugin``: the plugin under an ordinary interpreter. The binary's entry is plugin/native/main.c."""

from __future__ import annotations

import posix
import sys
import time

_STARTED_UNIX_NS = time.time_ns()

from vpccni_plugin.main import run  # noqa: E402 - the clock starts before the imports

sys.exit(run(posix.environ, _STARTED_UNIX_NS))

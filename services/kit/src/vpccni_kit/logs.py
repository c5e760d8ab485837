"""JSON log lines: time, level, service, node, msg, trace_id, the fields of the call (pod, container) and of the line (reason)."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import datetime
import json
import logging
import logging.handlers
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any, Final

from vpccni_kit import telemetry

LEVELS: Final = {
    "DEBUG": logging.DEBUG,
    "INFO": logging.INFO,
    "WARN": logging.WARNING,
    "ERROR": logging.ERROR,
    "FATAL": logging.CRITICAL,
}
_ROTATE_BYTES: Final = 100 * 1024 * 1024
_ROTATE_FILES: Final = 5
log = logging.getLogger(__name__)
_level = "DEBUG"  # as given to setup
# One dictionary per call, shared by the tasks that it starts: what is said of the call later is in their lines too.
_call: contextvars.ContextVar[dict[str, str] | None] = contextvars.ContextVar("vpccni_log_call", default=None)
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


@contextlib.contextmanager
def call() -> Iterator[None]:
    """Around the handling of one call: ``describe`` adds to its lines only."""
    token = _call.set({})
    try:
        yield
    finally:
        _call.reset(token)


def describe(**fields: str) -> None:
    """Fields for every further line of the current call; empty values are left out. Outside a call: nothing."""
    known = _call.get()
    if known is not None:
        known.update({name: value for name, value in fields.items() if value})


class JsonFormatter(logging.Formatter):
    """One JSON object per line. Values passed as ``extra={"pod": …}`` become top-level fields."""

    def __init__(self, service: str, node: str = "") -> None:
        super().__init__()
        self._identity = {"service": service} | ({"node": node} if node else {})

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(timespec="milliseconds")[
                :-6
            ]
            + "Z",
            "level": "warn" if record.levelno == logging.WARNING else record.levelname.lower(),
            **self._identity,
            "msg": record.getMessage(),
        }
        trace_id = telemetry.current_trace_id()
        if trace_id:
            line["trace_id"] = trace_id
        line.update(_call.get() or {})
        line.update({k: v for k, v in vars(record).items() if k not in _STANDARD})
        if record.exc_info:
            line["stack"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def setup(service: str, level: str, path: str, node: str = "") -> None:
    """``path``: "stdout", "stderr" or a file (rotated at 100 MiB, 5 kept). A file that cannot be opened: stderr, said once.

    ``node``: the node's name, for every line; empty: left out.
    """
    global _level
    handler: logging.Handler
    problem = ""
    if path in ("stdout", "stderr"):
        handler = logging.StreamHandler(sys.stdout if path == "stdout" else sys.stderr)
    else:
        try:
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
            handler = logging.handlers.RotatingFileHandler(path, maxBytes=_ROTATE_BYTES, backupCount=_ROTATE_FILES)
        except OSError as error:
            handler = logging.StreamHandler(sys.stderr)
            problem = f"log file {path}: {error.strerror}; logging to stderr"
    handler.setFormatter(JsonFormatter(service, node))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    _level = level
    set_level(level)
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    if problem:
        logging.getLogger(service).warning(problem)


def obey_signals(loop: asyncio.AbstractEventLoop) -> None:
    """SIGUSR1: everything is logged from now on. SIGUSR2: back to the level of ``setup``."""

    def change(level: str) -> None:
        set_level("DEBUG")
        log.warning("log level is %s now", level)
        set_level(level)

    loop.add_signal_handler(signal.SIGUSR1, lambda: change("DEBUG"))
    loop.add_signal_handler(signal.SIGUSR2, lambda: change(_level))


def set_level(level: str) -> None:
    """Changes the level while running. Unknown names mean DEBUG, as in the original."""
    logging.getLogger().setLevel(LEVELS.get(level.upper(), logging.DEBUG))
    for noisy in ("botocore", "boto3", "urllib3", "asyncio", "grpc", "pyroute2", "kubernetes"):
        logging.getLogger(noisy).setLevel(max(logging.INFO, logging.getLogger().level))

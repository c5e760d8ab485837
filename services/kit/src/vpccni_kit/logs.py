"""JSON log lines: time, level, service, msg, trace id, and the fields that the caller gives (pod, container, reason)."""

from __future__ import annotations

import datetime
import json
import logging
import logging.handlers
import os
import sys
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
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One JSON object per line. Values passed as ``extra={"pod": …}`` become top-level fields."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(timespec="milliseconds"),
            "level": "warn" if record.levelno == logging.WARNING else record.levelname.lower(),
            "service": self._service,
            "msg": record.getMessage(),
        }
        trace_id = telemetry.current_trace_id()
        if trace_id:
            line["trace_id"] = trace_id
        line.update({k: v for k, v in vars(record).items() if k not in _STANDARD})
        if record.exc_info:
            line["stack"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def setup(service: str, level: str, path: str) -> None:
    """``path``: "stdout", "stderr" or a file (rotated at 100 MB, 5 kept). A file that cannot be opened: stderr, said once."""
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
    handler.setFormatter(JsonFormatter(service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    set_level(level)
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    if problem:
        logging.getLogger(service).warning(problem)


def set_level(level: str) -> None:
    """Changes the level while running. Unknown names mean DEBUG, as in the original."""
    logging.getLogger().setLevel(LEVELS.get(level.upper(), logging.DEBUG))
    for noisy in ("botocore", "boto3", "urllib3", "asyncio", "grpc", "pyroute2", "kubernetes"):
        logging.getLogger(noisy).setLevel(max(logging.INFO, logging.getLogger().level))

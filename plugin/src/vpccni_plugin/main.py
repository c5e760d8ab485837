"""One run of the plugin, from environment and stdin to stdout and the exit status."""

from __future__ import annotations

import posix
import time

from vpccni_plugin.errors import PluginError, error_object
from vpccni_plugin.jsonlite import dumps
from vpccni_plugin.log import Log
from vpccni_plugin.request import (
    LATEST_VERSION,
    MAX_CONFIG,
    SUPPORTED_VERSIONS,
    Config,
    Environment,
    check_command,
    check_version,
    parse_config,
)
from vpccni_plugin.trace import Trace
from vpccni_plugin.verbs import Call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from vpccni_plugin.jsonlite import Json

_READ_SIZE = 65536
_DRAIN_LIMIT = 16 << 20  # bytes


def run(environ: Mapping[bytes, bytes], started_unix_ns: int) -> int:
    """The exit status of the process: 0, or 1 after a CNI error object was printed."""
    session = Session(Environment(environ), started_unix_ns)
    failure: PluginError | None = None
    output: Json = None
    try:
        output = session.answer()
    except PluginError as exc:
        failure = exc
    except Exception as exc:  # noqa: BLE001 - the runtime must get an error object whatever happens
        failure = PluginError("INTERNAL", f"{type(exc).__name__}: {exc}{_where(exc)}")
    if failure is not None:
        output = session.error_object(failure)
    if output is not None:
        _write_stdout(dumps(output).encode("utf-8", "replace") + b"\n")
    session.finish(failure)
    return 0 if failure is None else 1


class Session:
    """What is known of the run so far. Its log is written after the answer."""

    def __init__(self, environment: Environment, started_unix_ns: int) -> None:
        self.environment = environment
        self.started_unix_ns = started_unix_ns
        self.cni_version = LATEST_VERSION
        self.trace = Trace(environment.traceparent, environment.container_id)
        self.log = Log()
        self.log.fields = {
            "trace_id": self.trace.trace_id,
            "container": environment.container_id,
            "netns": environment.netns,
            "ifname": environment.ifname,
        }

    def answer(self) -> Json:
        """The object to print, None for nothing. Raises PluginError."""
        command = self.environment.command
        check_command(self.environment)
        stdin = read_stdin()
        if command == "VERSION":
            return self._version(stdin)
        config = Config(parse_config(stdin), self.environment)
        self.log.path, self.log.level = config.log_file, config.log_level
        if config.cni_version in SUPPORTED_VERSIONS:
            self.cni_version = config.cni_version
        check_version(command, config.cni_version)
        config.check()
        return Call(self.environment, config, self.log, self.trace, self.started_unix_ns).run()

    def _version(self, stdin: bytes) -> Json:
        """The configuration is optional here; its cniVersion is echoed when we support it."""
        asked = parse_config(stdin).get("cniVersion") if stdin.strip() else None
        if isinstance(asked, str) and asked in SUPPORTED_VERSIONS:
            self.cni_version = asked
        return {"cniVersion": self.cni_version, "supportedVersions": list(SUPPORTED_VERSIONS)}

    def error_object(self, failure: PluginError) -> Json:
        return error_object(failure, self.environment.command, self.cni_version, self.trace.trace_id)

    def finish(self, failure: PluginError | None) -> None:
        """Writes the log; a VERSION that worked has none."""
        command = self.environment.command
        if command == "VERSION" and failure is None:
            return
        now = time.time_ns()
        fields: dict[str, Json] = {
            "reason": failure.reason if failure else "",
            "duration_ms": (now - self.started_unix_ns) // 1000 / 1000,
        }
        if failure is None:
            self.log.add("INFO", now, f"{command} done", fields)
        else:
            fields["error"] = failure.message
            fields["origin"] = failure.origin
            self.log.add("ERROR", now, f"{command or 'call'} failed", fields)
        self.log.flush()


def read_stdin() -> bytes:
    """All of stdin, or one byte more than MAX_CONFIG of it."""
    data = bytearray()
    while True:
        chunk = posix.read(0, _READ_SIZE)
        data += chunk
        if not chunk:
            return bytes(data)
        if len(data) > MAX_CONFIG:
            # Read on for a while: a writer that gets a broken pipe may not look at our answer.
            drained = 0
            while chunk and drained < _DRAIN_LIMIT:
                chunk = posix.read(0, _READ_SIZE)
                drained += len(chunk)
            return bytes(data[: MAX_CONFIG + 1])


def _where(exc: BaseException) -> str:
    """File and line of the innermost frame; the traceback module is not in the binary."""
    traceback = exc.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return ""
    return f" ({traceback.tb_frame.f_code.co_filename.rpartition('/')[2]}:{traceback.tb_lineno})"


def _write_stdout(data: bytes) -> None:
    view = memoryview(data)
    try:
        while view:
            view = view[posix.write(1, view) :]
    except OSError as exc:
        # Nobody reads the answer; the exit status is all that is left to say.
        raise SystemExit(1) from exc

"""One call of the plugin, from environment and stdin to stdout and the exit status."""

from __future__ import annotations

import posix
import time

from vpccni_plugin import messages
from vpccni_plugin.errors import PluginError, TransportError, error_object
from vpccni_plugin.jsonlite import dumps
from vpccni_plugin.log import Log
from vpccni_plugin.protowire import WireError, decode, encode
from vpccni_plugin.reason_table import VERSION
from vpccni_plugin.request import (
    LATEST_VERSION,
    MAX_CONFIG,
    SUPPORTED_VERSIONS,
    Config,
    Environment,
    check_command,
    check_pod_environment,
    check_version,
    parse_config,
    pod_identity,
    valid_attachments,
)
from vpccni_plugin.result import parse_prev_result, render
from vpccni_plugin.trace import trace_id_of, traceparent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from vpccni_plugin.jsonlite import Json
    from vpccni_plugin.protowire import Message, Table

# Seconds. ADD may wait for an ENI to be attached; ipam bounds that wait itself, earlier than this.
DEADLINES = {"ADD": 60.0, "DEL": 20.0, "CHECK": 10.0, "GC": 10.0, "STATUS": 10.0}
_READ_SIZE = 65536
_DRAIN_LIMIT = 16 << 20


class Call:
    """State of one call. ``output`` is what goes to stdout; nothing when None."""

    def __init__(self, environment: Environment, started_unix_ns: int) -> None:
        self.environment = environment
        self.started_unix_ns = started_unix_ns
        self.traceparent = traceparent(environment.traceparent, environment.container_id)
        self.cni_version = LATEST_VERSION
        self.log = Log()
        self.log.fields = {
            "containerID": environment.container_id,
            "netns": environment.netns,
            "ifname": environment.ifname,
            "traceID": trace_id_of(self.traceparent),
        }

    def run(self, stdin: bytes) -> Json:
        """Does what CNI_COMMAND says; the result to print, or None. Raises PluginError."""
        command = self.environment.command
        if command == "VERSION":
            return self._version(stdin)
        raw = parse_config(stdin)
        config = Config(raw, self.environment)
        self.log.path, self.log.level = config.log_file, config.log_level
        if config.cni_version in SUPPORTED_VERSIONS:
            self.cni_version = config.cni_version
        check_version(command, config.cni_version)
        config.check()
        if command == "GC":
            return self._gc(config)
        if command == "STATUS":
            self._rpc(config, "Status", messages.STATUS_REQUEST, {"plugin_version": VERSION})
            return None
        check_pod_environment(self.environment)
        request = self._pod_request(config)
        if command == "ADD":
            return self._add(config, request)
        if command == "DEL":
            return self._del(config, request)
        return self._check(config, request)

    def _version(self, stdin: bytes) -> Json:
        asked = ""
        if stdin.strip():
            asked = str(parse_config(stdin).get("cniVersion", ""))
        # The specification wants the configuration's version echoed; a version that we do not know is not.
        version = asked if asked in SUPPORTED_VERSIONS else LATEST_VERSION
        return {"cniVersion": version, "supportedVersions": list(SUPPORTED_VERSIONS)}

    def _pod_request(self, config: Config) -> Message:
        environment = self.environment
        pod = pod_identity(environment)
        self.log.fields["pod"] = f"{pod['namespace']}/{pod['name']}"
        return {
            "key": {
                "network_name": config.name,
                "container_id": environment.container_id,
                "ifname": environment.ifname,
            },
            "pod": pod,
            "netns": environment.netns,
            "conf": {
                "veth_prefix": config.veth_prefix,
                "mtu": config.mtu,
                "sg_enforcing_mode": config.enforcing_mode,
            },
            "plugin_version": VERSION,
            "started_unix_ns": self.started_unix_ns,
        }

    def _add(self, config: Config, request: Message) -> Json:
        _check_netns_exists(self.environment.netns)
        parse_prev_result(config.raw)  # not used, but a malformed one is refused
        answer = self._rpc(config, "AddPod", messages.ADD_POD_REQUEST, request)
        try:
            result = decode(messages.ADD_POD_RESPONSE, answer)["result"]
        except WireError as exc:
            raise PluginError("INTERNAL", f"ipam's answer cannot be decoded: {exc}") from None
        if result is None:
            raise PluginError("INTERNAL", "ipam's answer has no result")
        return render(result, config.cni_version)

    def _del(self, config: Config, request: Message) -> Json:
        try:
            request["prev_result"] = parse_prev_result(config.raw)
        except PluginError as exc:
            # ipam knows the pod without it; refusing would keep the pod Terminating for ever.
            request["prev_result"] = None
            self.log.add("WARN", time.time_ns(), "prevResult ignored", {"error": exc.message})
        try:
            self._rpc(config, "DelPod", messages.DEL_POD_REQUEST, request)
        except TransportError as exc:
            self._queue_del(config, request, exc)
        return None

    def _queue_del(self, config: Config, request: Message, cause: TransportError) -> None:
        """ipam did not answer. DelPod is idempotent, so it is safe to replay one that was half done."""
        from vpccni_plugin.del_queue import enqueue

        try:
            path = enqueue(config.pending_del_dir, request)
        except PluginError as exc:
            raise PluginError("IPAM_UNREACHABLE", f"{cause.message}, {exc.message}") from None
        fields: dict[str, Json] = {"reason": cause.reason, "error": cause.message, "file": path}
        self.log.add("WARN", time.time_ns(), "DEL queued: ipam did not answer", fields)

    def _check(self, config: Config, request: Message) -> Json:
        request["prev_result"] = parse_prev_result(config.raw)
        if request["prev_result"] is None:
            raise PluginError("CONFIG_INVALID", "prevResult is missing; allowed: the result of this attachment's ADD")
        self._rpc(config, "CheckPod", messages.CHECK_POD_REQUEST, request)
        return None

    def _gc(self, config: Config) -> Json:
        request: Message = {
            "network_name": config.name,
            "valid_attachments": valid_attachments(config.raw),
            "plugin_version": VERSION,
        }
        answer = self._rpc(config, "Gc", messages.GC_REQUEST, request)
        self.log.fields["released"] = decode(messages.GC_RESPONSE, answer)["released"]
        return None

    def _rpc(self, config: Config, method: str, table: Table, request: Message) -> bytes:
        from vpccni_plugin.grpc_call import call

        metadata = (("traceparent", self.traceparent),)
        deadline = DEADLINES[self.environment.command]
        return call(config.socket, messages.SERVICE + method, encode(table, request), metadata, deadline)


def _check_netns_exists(path: str) -> None:
    """Cheap, and it tells a gone sandbox from a broken one before ipam takes an address. What it is, netconf checks."""
    try:
        posix.stat(path.encode())
    except (FileNotFoundError, NotADirectoryError):
        raise PluginError("NETNS_GONE", f"CNI_NETNS {path!r} does not exist") from None
    except OSError:
        return  # netconf, which has to open it, says what is wrong


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


def run(environ: Mapping[bytes, bytes], started_unix_ns: int) -> int:
    """The exit status of the process: 0, or 1 after a CNI error object was printed."""
    environment = Environment(environ)
    call = Call(environment, started_unix_ns)
    output: Json = None
    failure: PluginError | None = None
    try:
        check_command(environment)
        output = call.run(read_stdin())
    except PluginError as exc:
        failure = exc
    except Exception as exc:  # noqa: BLE001 - the runtime must get an error object whatever happens
        failure = PluginError("INTERNAL", f"{type(exc).__name__}: {exc}{_where(exc)}")
    if failure is not None:
        trace_id = trace_id_of(call.traceparent)
        output = error_object(failure, environment.command, call.cni_version, trace_id)
    if output is not None:
        _write_stdout(dumps(output).encode("utf-8", "replace") + b"\n")
    if environment.command != "VERSION" or failure is not None:
        _finish_log(call, failure)
    return 0 if failure is None else 1


def _where(exc: BaseException) -> str:
    """File and line of the innermost frame; the traceback module is not in the binary."""
    traceback = exc.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return ""
    return f" ({traceback.tb_frame.f_code.co_filename.rpartition('/')[2]}:{traceback.tb_lineno})"


def _finish_log(call: Call, failure: PluginError | None) -> None:
    now = time.time_ns()
    command = call.environment.command or "(no command)"
    fields: dict[str, Json] = {"reason": failure.reason if failure else "", "durationMs": _duration_ms(call, now)}
    if failure is None:
        call.log.add("INFO", now, f"{command} done", fields)
    else:
        fields["error"] = failure.message
        fields["origin"] = failure.origin
        call.log.add("ERROR", now, f"{command} failed", fields)
    call.log.flush()


def _duration_ms(call: Call, now: int) -> float:
    return (now - call.started_unix_ns) // 1000 / 1000


def _write_stdout(data: bytes) -> None:
    view = memoryview(data)
    try:
        while view:
            view = view[posix.write(1, view) :]
    except OSError as exc:
        # Nobody reads the answer; the exit status is all that is left to say.
        raise SystemExit(1) from exc

"""The verbs of the specification but VERSION: each is one call of ipam."""

from __future__ import annotations

import posix
import time

from vpccni_plugin.del_queue import enqueue
from vpccni_plugin.errors import PluginError, TransportError
from vpccni_plugin.grpc_call import call
from vpccni_plugin.messages import (
    ADD_POD_REQUEST,
    ADD_POD_RESPONSE,
    CHECK_POD_REQUEST,
    DEL_POD_REQUEST,
    GC_REQUEST,
    GC_RESPONSE,
    SERVICE,
    STATUS_REQUEST,
)
from vpccni_plugin.protowire import WireError, decode, encode
from vpccni_plugin.reason_table import VERSION
from vpccni_plugin.request import (
    MULTI_NIC,
    NIC_CONFIG,
    check_pod_environment,
    nic_config,
    pod_identity,
    valid_attachments,
)
from vpccni_plugin.result import parse_prev_result, render

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vpccni_plugin.jsonlite import Json
    from vpccni_plugin.log import Log
    from vpccni_plugin.protowire import Message, Table
    from vpccni_plugin.request import Config, Environment
    from vpccni_plugin.trace import Trace

# Seconds. ADD may wait for an ENI to be attached; ipam bounds that wait itself, earlier than this.
DEADLINES = {"ADD": 60.0, "DEL": 20.0, "CHECK": 10.0, "GC": 10.0, "STATUS": 10.0}
# Seconds: an ADD, waiting for ipam included, ends before kubelet gives up on the sandbox (two minutes).
LONGEST_ADD = 110.0
RESTART_PAUSE = 0.1
_AWAY = ("IPAM_UNREACHABLE", "DRAINING")
PARENT_METADATA = "vpccni-parent"


class Call:
    """One call of ipam for one verb, and what it needs to know."""

    def __init__(self, environment: Environment, config: Config, log: Log, trace: Trace, started_unix_ns: int) -> None:
        self.environment = environment
        self.config = config
        self.log = log
        self.trace = trace
        self.started_unix_ns = started_unix_ns

    def run(self) -> Json:
        """Does what CNI_COMMAND says; the result to print, or None. Raises PluginError."""
        command = self.environment.command
        if command == "GC":
            return self._gc()
        if command == "STATUS":
            self._rpc("Status", STATUS_REQUEST, {"plugin_version": VERSION})
            return None
        check_pod_environment(self.environment)
        request = self._pod_request()
        if command == "ADD":
            return self._add(request)
        if command == "DEL":
            return self._del(request)
        return self._check(request)

    def _pod_request(self) -> Message:
        environment = self.environment
        pod = pod_identity(environment)
        self.log.fields["pod"] = f"{pod['namespace']}/{pod['name']}"
        return {
            "key": {
                "network_name": self.config.name,
                "container_id": environment.container_id,
                "ifname": environment.ifname,
            },
            "pod": pod,
            "netns": environment.netns,
            "conf": {
                "veth_prefix": self.config.veth_prefix,
                "mtu": self.config.mtu,
                "sg_enforcing_mode": self.config.enforcing_mode,
            },
            "plugin_version": VERSION,
            "started_unix_ns": self.started_unix_ns,
        }

    def _add(self, request: Message) -> Json:
        _check_netns_exists(self.environment.netns)
        parse_prev_result(self.config.raw)  # not used, but a malformed one is refused
        request["multi_nic"] = int(self._wants_every_card())
        answer = self._add_when_ipam_is_there(request)
        result = _decode(ADD_POD_RESPONSE, answer)["result"]
        if result is None:
            raise PluginError("INTERNAL", "ipam's answer has no result")
        return render(result, self.config.cni_version)

    def _wants_every_card(self) -> bool:
        asked = nic_config(self.config.raw)
        if asked not in ("", MULTI_NIC):
            self.log.add("DEBUG", time.time_ns(), f"{NIC_CONFIG} ignored", {"value": asked, "allowed": MULTI_NIC})
        return asked == MULTI_NIC

    def _add_when_ipam_is_there(self, request: Message) -> bytes:
        """AddPod is idempotent, so it is sent again while ipam is being started anew (an upgrade, a crash).

        For as long as ``ipamWaitSeconds`` of the configuration says; then the last error is raised.
        """
        began = time.monotonic()
        deadline = DEADLINES["ADD"]
        while True:
            try:
                return self._rpc("AddPod", ADD_POD_REQUEST, request, deadline)
            except PluginError as exc:
                waited = time.monotonic() - began
                if exc.reason not in _AWAY or waited >= self.config.ipam_wait:
                    raise
                self.log.fields["waited_for_ipam"] = True
                deadline = min(DEADLINES["ADD"], max(1.0, LONGEST_ADD - waited))
            time.sleep(RESTART_PAUSE)

    def _del(self, request: Message) -> Json:
        try:
            request["prev_result"] = parse_prev_result(self.config.raw)
        except PluginError as exc:
            # ipam knows the pod without it; refusing would keep the pod Terminating for ever.
            request["prev_result"] = None
            self.log.add("WARN", time.time_ns(), "prevResult ignored", {"error": exc.message})
        try:
            self._rpc("DelPod", DEL_POD_REQUEST, request)
        except PluginError as exc:
            if not isinstance(exc, TransportError) and exc.reason not in _AWAY:
                raise
            self._queue_del(request, exc)
        return None

    def _queue_del(self, request: Message, cause: PluginError) -> None:
        """ipam did not answer, or is shutting down. DelPod is idempotent, so it is safe to replay one that was half done."""
        try:
            path = enqueue(self.config.pending_del_dir, request)
        except PluginError as exc:
            raise PluginError("IPAM_UNREACHABLE", f"{cause.message}, {exc.message}") from None
        fields: dict[str, Json] = {"reason": cause.reason, "error": cause.message, "file": path}
        self.log.add("WARN", time.time_ns(), "DEL queued", fields)

    def _check(self, request: Message) -> Json:
        request["prev_result"] = parse_prev_result(self.config.raw)
        if request["prev_result"] is None:
            raise PluginError("CONFIG_INVALID", "prevResult is missing; allowed: the result of this attachment's ADD")
        self._rpc("CheckPod", CHECK_POD_REQUEST, request)
        return None

    def _gc(self) -> Json:
        request: Message = {
            "network_name": self.config.name,
            "valid_attachments": valid_attachments(self.config.raw),
            "plugin_version": VERSION,
        }
        answer = self._rpc("Gc", GC_REQUEST, request)
        self.log.fields["released"] = _decode(GC_RESPONSE, answer)["released"]
        return None

    def _rpc(self, method: str, table: Table, request: Message, deadline: float = 0.0) -> bytes:
        metadata = [("traceparent", self.trace.traceparent)]
        if self.trace.parent:
            metadata.append((PARENT_METADATA, self.trace.parent))
        within = deadline or DEADLINES[self.environment.command]
        return call(self.config.socket, SERVICE + method, encode(table, request), metadata, within)


def _decode(table: Table, answer: bytes) -> Message:
    try:
        return decode(table, answer)
    except WireError as exc:
        raise PluginError("INTERNAL", f"ipam's answer cannot be decoded: {exc}") from None


def _check_netns_exists(path: str) -> None:
    """Cheap, and it tells a gone sandbox from a broken one before ipam takes an address. What it is, netconf checks."""
    try:
        posix.stat(path.encode())
    except (FileNotFoundError, NotADirectoryError):
        raise PluginError("NETNS_GONE", f"CNI_NETNS {path!r} does not exist") from None
    except OSError:
        return  # netconf, which has to open it, says what is wrong

"""What the runtime asks: environment, CNI_ARGS and network configuration, checked (CNI specification 1.1).

Everything is checked before anything is done: a bad value is a CNI error that names the field, the value and what is
allowed, and no call is made.
"""

from __future__ import annotations

from vpccni_plugin.errors import (
    CNI_DECODE_FAILED,
    CNI_INCOMPATIBLE_VERSION,
    CNI_INVALID_ENVIRONMENT,
    PluginError,
)
from vpccni_plugin.jsonlite import JsonError, loads
from vpccni_plugin.reason_table import IPAM_SOCKET, PENDING_DEL_DIR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from vpccni_plugin.jsonlite import Json
    from vpccni_plugin.protowire import Message

SUPPORTED_VERSIONS = ("0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
LATEST_VERSION = "1.1.0"
# Verb -> first version that has it.
COMMANDS = {"ADD": "0.3.0", "DEL": "0.3.0", "CHECK": "0.4.0", "GC": "1.1.0", "STATUS": "1.1.0", "VERSION": "0.3.0"}

MAX_CONFIG = 1 << 20  # bytes of stdin
MIN_MTU, MAX_MTU = 576, 9001
# Seconds. Together with an ADD's own deadline it stays below kubelet's two minutes.
MAX_IPAM_WAIT = 100
MAX_VETH_PREFIX = 4
_FORBIDDEN_PREFIXES = ("eth", "lo", "vlan")
_ENFORCING_MODES = ("strict", "standard")
_MAX_IFNAME = 15  # IFNAMSIZ - 1
_MAX_SOCKET_PATH = 107  # sun_path - 1
DEFAULT_LOG_FILE = "/var/log/aws-routed-eni/plugin.log"
VALID_ATTACHMENTS = "cni.dev/valid-attachments"
POD_ANNOTATIONS = "io.kubernetes.cri.pod-annotations"
# Annotation of a pod that wants an address of every network card, and its only value.
NIC_CONFIG, MULTI_NIC = "k8s.amazonaws.com/nicConfig", "multi-nic-attachment"


class Environment:
    """The CNI_* variables, as text; empty when not set."""

    __slots__ = ("args", "command", "container_id", "ifname", "netns", "pending_del_dir", "socket", "traceparent")

    def __init__(self, environ: Mapping[bytes, bytes]) -> None:
        def text(name: bytes) -> str:
            return environ.get(name, b"").decode("utf-8", "replace")

        self.command = text(b"CNI_COMMAND")
        self.container_id = text(b"CNI_CONTAINERID")
        self.netns = text(b"CNI_NETNS")
        self.ifname = text(b"CNI_IFNAME")
        self.args = text(b"CNI_ARGS")
        self.traceparent = text(b"TRACEPARENT")
        self.socket = text(b"VPCCNI_IPAM_SOCKET")
        self.pending_del_dir = text(b"VPCCNI_PENDING_DEL_DIR")


class Config:
    """The network configuration; ``raw`` is the whole object."""

    __slots__ = (
        "cni_version", "enforcing_mode", "ipam_wait", "log_file", "log_level", "mtu", "name", "pending_del_dir", "raw", "socket",
        "veth_prefix",
    )  # fmt: skip

    def __init__(self, raw: Mapping[str, Json], environment: Environment) -> None:
        self.raw = raw
        self.cni_version = _text(raw, "cniVersion", "")
        self.log_level = _text(raw, "pluginLogLevel", "DEBUG")
        self.log_file = _text(raw, "pluginLogFile", DEFAULT_LOG_FILE)
        if self.log_file.strip().lower() == "stdout":
            raise _invalid("pluginLogFile", self.log_file, '"stderr" or a path; stdout carries the CNI result')
        self.name = _text(raw, "name", "")
        self.mtu = MAX_MTU
        self.veth_prefix = _text(raw, "vethPrefix", "eni")
        self.enforcing_mode = _text(raw, "podSGEnforcingMode", "strict")
        self.ipam_wait = 0
        self.socket = _text(raw, "ipamSocket", environment.socket or IPAM_SOCKET)
        self.pending_del_dir = _text(raw, "pendingDelDir", environment.pending_del_dir or PENDING_DEL_DIR)

    def check(self) -> None:
        """Raises PluginError for the first field that is not allowed."""
        if not _is_identifier(self.name):
            raise _invalid("name", self.name, "a letter or digit, then letters, digits, '_', '.', '-'")
        self.mtu = _mtu(self.raw.get("mtu", "9001"))
        self.ipam_wait = _seconds(self.raw, "ipamWaitSeconds", MAX_IPAM_WAIT)
        _check_veth_prefix(self.veth_prefix)
        if self.enforcing_mode not in _ENFORCING_MODES:
            raise _invalid("podSGEnforcingMode", self.enforcing_mode, '"strict" or "standard"')
        self.socket = self.socket.removeprefix("unix://")
        if not self.socket.startswith("/") or len(self.socket.encode()) > _MAX_SOCKET_PATH:
            raise _invalid("ipamSocket", self.socket, f"an absolute path of at most {_MAX_SOCKET_PATH} bytes")
        if not self.pending_del_dir.startswith("/"):
            raise _invalid("pendingDelDir", self.pending_del_dir, "an absolute path")


def parse_config(stdin: bytes) -> Mapping[str, Json]:
    """The object on stdin. Raises PluginError with the CNI code for "failed to decode content"."""
    if len(stdin) > MAX_CONFIG:
        raise _undecodable(f"more than {MAX_CONFIG} bytes")
    if not stdin.strip():
        raise _undecodable("stdin is empty; allowed: a JSON object")
    try:
        raw = loads(stdin)
    except JsonError as exc:
        raise _undecodable(f"invalid JSON: {exc}") from None
    if not isinstance(raw, dict):
        raise _undecodable(f"the value is {_kind(raw)}; allowed: a JSON object")
    return raw


def check_version(command: str, cni_version: str) -> None:
    """Raises PluginError (CNI code 1) for a version that is not supported, or that lacks the verb."""
    if cni_version not in SUPPORTED_VERSIONS:
        shown = f"cniVersion {cni_version!r}" if cni_version else "cniVersion is missing (0.1.0)"
        supported = ", ".join(SUPPORTED_VERSIONS)
        raise PluginError(
            "CONFIG_INVALID", f"{shown} is not supported; allowed: {supported}", cni_code=CNI_INCOMPATIBLE_VERSION
        )
    first = COMMANDS[command]
    if SUPPORTED_VERSIONS.index(cni_version) < SUPPORTED_VERSIONS.index(first):
        raise PluginError(
            "CONFIG_INVALID",
            f"config version {cni_version!r} does not allow {command}; allowed: {first} and later",
            cni_code=CNI_INCOMPATIBLE_VERSION,
        )


def check_command(environment: Environment) -> None:
    """Raises PluginError (CNI code 4) unless CNI_COMMAND is one of the verbs."""
    if environment.command not in COMMANDS:
        raise _bad_environment("CNI_COMMAND", environment.command, ", ".join(COMMANDS))


def check_pod_environment(environment: Environment) -> None:
    """Raises PluginError (CNI code 4) for the first variable of ADD, DEL or CHECK that is not allowed."""
    if not _is_identifier(environment.container_id):
        allowed = "a letter or digit, then letters, digits, '_', '.', '-'"
        raise _bad_environment("CNI_CONTAINERID", environment.container_id, allowed)
    ifname = environment.ifname
    if (
        not 0 < len(ifname.encode()) <= _MAX_IFNAME
        or ifname in (".", "..")
        or any(char in "/:" or char.isspace() or not char.isprintable() for char in ifname)
    ):
        allowed = f"1 to {_MAX_IFNAME} bytes without '/', ':' and white space, not '.' or '..'"
        raise _bad_environment("CNI_IFNAME", ifname, allowed)
    # A DEL may come after the namespace is gone; its path is optional then.
    if environment.command != "DEL" and not environment.netns.startswith("/"):
        raise _bad_environment("CNI_NETNS", environment.netns, "the absolute path of a network namespace")


def pod_identity(environment: Environment) -> Message:
    """The PodIdentity message from CNI_ARGS. Keys that are not ours are ignored.

    Without a Kubernetes pod name (a host without Kubernetes) the container's id stands for it: the name of the host's
    veth is made of namespace and name, and two pods must not get the same.
    """
    values: dict[str, str] = {}
    for pair in environment.args.split(";"):
        key, separator, value = pair.partition("=")
        if separator:
            values[key.strip()] = value.strip()
        elif pair.strip():
            raise _bad_environment("CNI_ARGS", pair, "KEY=VALUE;KEY=VALUE…")
    return {
        "namespace": values.get("K8S_POD_NAMESPACE", ""),
        "name": values.get("K8S_POD_NAME") or environment.container_id,
        "uid": values.get("K8S_POD_UID", ""),
        "infra_container_id": values.get("K8S_POD_INFRA_CONTAINER_ID", ""),
    }


def nic_config(raw: Mapping[str, Json]) -> str:
    """The pod's annotation about network cards as the runtime passes it on; empty when there is none."""
    runtime_config = raw.get("runtimeConfig")
    annotations = runtime_config.get(POD_ANNOTATIONS) if isinstance(runtime_config, dict) else None
    value = annotations.get(NIC_CONFIG) if isinstance(annotations, dict) else None
    return value if isinstance(value, str) else ""


def valid_attachments(raw: Mapping[str, Json]) -> list[Message]:
    """GC's list as PodInterface messages. It must be present: taking a missing list as empty would release every pod.

    ``null`` is how Go writes an empty list.
    """
    if VALID_ATTACHMENTS not in raw:
        raise PluginError(
            "CONFIG_INVALID", f"{VALID_ATTACHMENTS} is missing; allowed: a list of {{containerID, ifname}}"
        )
    found = raw[VALID_ATTACHMENTS]
    result: list[Message] = []
    for item in found if isinstance(found, list) else [found] if found is not None else []:
        container_id = item.get("containerID") if isinstance(item, dict) else None
        ifname = item.get("ifname") if isinstance(item, dict) else None
        if not isinstance(container_id, str) or not isinstance(ifname, str) or not container_id or not ifname:
            raise _invalid(VALID_ATTACHMENTS, item, "a list of {containerID, ifname}, both not empty")
        result.append({"container_id": container_id, "ifname": ifname})
    return result


def _text(raw: Mapping[str, Json], field: str, default: str) -> str:
    value = raw.get(field)
    if value is None:
        return default
    if not isinstance(value, str):
        raise _invalid(field, value, "a string")
    return value


def _seconds(raw: Mapping[str, Json], field: str, most: int) -> int:
    value = raw.get(field)
    if value is None:
        return 0
    text = value if isinstance(value, str) else str(value) if type(value) is int else ""
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= most):
        raise _invalid(field, value, f"0 to {most}")
    return int(text)


def _mtu(value: Json) -> int:
    """The conflist has it as a string; a number is accepted too."""
    text = value if isinstance(value, str) else str(value) if type(value) is int else ""
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and MIN_MTU <= int(text) <= MAX_MTU):
        raise _invalid("mtu", value, f"{MIN_MTU} to {MAX_MTU}")
    return int(text)


def _check_veth_prefix(prefix: str) -> None:
    allowed = f"1 to {MAX_VETH_PREFIX} letters, digits, '_', '-', not {', '.join(_FORBIDDEN_PREFIXES)}"
    if not 0 < len(prefix) <= MAX_VETH_PREFIX or prefix in _FORBIDDEN_PREFIXES:
        raise _invalid("vethPrefix", prefix, allowed)
    if not all(char.isascii() and (char.isalnum() or char in "_-") for char in prefix):
        raise _invalid("vethPrefix", prefix, allowed)


def _is_identifier(text: str) -> bool:
    """The specification's rule for network names and container ids."""
    return text.isascii() and text[:1].isalnum() and text.replace("_", "").replace(".", "").replace("-", "").isalnum()


def _kind(value: Json) -> str:
    if value is None:
        return "null"
    return {"str": "a string", "list": "an array", "bool": "a boolean"}.get(type(value).__name__, "a number")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _invalid(field: str, value: object, allowed: str) -> PluginError:
    return PluginError("CONFIG_INVALID", f"{field} is {_shown(value)}; allowed: {allowed}")


def _undecodable(what: str) -> PluginError:
    return PluginError("CONFIG_INVALID", f"network configuration: {what}", cni_code=CNI_DECODE_FAILED)


def _bad_environment(name: str, value: str, allowed: str) -> PluginError:
    shown = f"is {_shown(value)}" if value else "is missing"
    return PluginError("REQUEST_INVALID", f"{name} {shown}; allowed: {allowed}", cni_code=CNI_INVALID_ENVIRONMENT)

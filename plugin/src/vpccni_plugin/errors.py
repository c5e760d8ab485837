"""Failures of the plugin, and the CNI error object they become (CNI specification 1.1, section "Error")."""

from __future__ import annotations

from vpccni_plugin.reason_table import POOL_REASONS, REASONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vpccni_plugin.jsonlite import Json

# Codes of the CNI specification that are not tied to a reason.
CNI_INCOMPATIBLE_VERSION = 1
CNI_INVALID_ENVIRONMENT = 4
CNI_DECODE_FAILED = 6
CNI_TRY_AGAIN_LATER = 11
CNI_NOT_AVAILABLE = 50
CNI_INTERNAL = 101

# gRPC status codes after which the same call may succeed later; used only for a reason newer than this plugin.
_RETRYABLE_STATUS = (1, 4, 8, 10, 14)


class PluginError(Exception):
    """A failure with a reason of ``vpccni_api.reasons``; ``origin`` is the service where it happened.

    ``cni_code`` overrides the code that the reason has in the table (0: no override).
    """

    def __init__(self, reason: str, message: str, origin: str = "plugin", cni_code: int = 0) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.origin = origin
        self.cni_code = cni_code

    @property
    def code(self) -> int:
        """Code of the CNI error object."""
        if self.cni_code:
            return self.cni_code
        known = REASONS.get(self.reason)
        return known[0] if known else CNI_INTERNAL

    @property
    def hint(self) -> str:
        """One sentence for the operator; empty for a reason that this plugin does not know."""
        known = REASONS.get(self.reason)
        return known[1] if known else ""


class TransportError(PluginError):
    """No answer from ipam: it cannot be reached, went away or did not answer in time. A DEL is queued after it."""


def from_status(status: int, message: str, reason: str, origin: str) -> PluginError:
    """The failure that ipam reported: gRPC status code, message and the two trailers (empty when absent)."""
    if not reason:
        # Not from a handler of ours: the gRPC library of the server, or something else on that socket.
        reason = {4: "DEADLINE_EXCEEDED", 12: "VERSION_SKEW", 14: "IPAM_UNREACHABLE"}.get(status, "INTERNAL")
        message = f"{message or 'no message'} (gRPC status {status})"
    code = 0
    if reason not in REASONS:
        code = CNI_TRY_AGAIN_LATER if status in _RETRYABLE_STATUS else CNI_INTERNAL
    return PluginError(reason, message, origin or "ipam", code)


def error_object(error: PluginError, command: str, cni_version: str, trace_id: str) -> dict[str, Json]:
    """The object to print on stdout. ``command`` is the value of CNI_COMMAND, empty when it is not known."""
    text = f"{error.reason}: {error.message}"
    if command == "ADD" and error.reason in POOL_REASONS:
        # The sentence that users and their alerts know from the original.
        text = "failed to assign an IP address to container: " + text
    if command:
        text = f"{command.lower()} cmd: {text}"
    code = error.code
    if command == "STATUS" and code in (CNI_TRY_AGAIN_LATER, CNI_INTERNAL):
        code = CNI_NOT_AVAILABLE
    details = [part for part in (error.hint, f"trace={trace_id}", f"origin={error.origin}") if part]
    return {"cniVersion": cni_version, "code": code, "msg": text, "details": " ".join(details)}

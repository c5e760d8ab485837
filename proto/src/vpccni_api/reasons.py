"""The closed set of reasons: who owns each, whether a retry can help, what to do about it.

The names are those of ``vpccni.reason.v1.Reason`` (a test holds the two together). This module imports neither grpc nor
protobuf, so that domain code and the plugin's build can use it.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import Final


class Reason(enum.StrEnum):
    """Why something failed; see proto/…/reason.proto for the meaning of each."""

    POOL_WARMING = "POOL_WARMING"
    ALL_COOLING = "ALL_COOLING"
    ENI_LIMIT = "ENI_LIMIT"
    SUBNET_FULL = "SUBNET_FULL"
    SUBNET_NO_PREFIX = "SUBNET_NO_PREFIX"
    NODE_NOT_GROWING = "NODE_NOT_GROWING"
    MAX_PODS = "MAX_PODS"
    EC2_THROTTLED = "EC2_THROTTLED"
    EC2_UNREACHABLE = "EC2_UNREACHABLE"
    EC2_REFUSED = "EC2_REFUSED"
    IAM_DENIED = "IAM_DENIED"
    IMDS_UNREACHABLE = "IMDS_UNREACHABLE"
    ENI_ATTACH_FAILED = "ENI_ATTACH_FAILED"
    ENI_CONFIG_MISSING = "ENI_CONFIG_MISSING"
    ENI_CONFIG_INVALID = "ENI_CONFIG_INVALID"
    SUBNET_NONE_ELIGIBLE = "SUBNET_NONE_ELIGIBLE"
    CAPACITY_IN_USE = "CAPACITY_IN_USE"
    NETNS_GONE = "NETNS_GONE"
    NETNS_INVALID = "NETNS_INVALID"
    LINK_EXISTS = "LINK_EXISTS"
    LINK_MISSING = "LINK_MISSING"
    KERNEL_REFUSED = "KERNEL_REFUSED"
    PACKET_FILTER_FAILED = "PACKET_FILTER_FAILED"
    STATE_DIFFERS = "STATE_DIFFERS"
    TABLE_CONFLICT = "TABLE_CONFLICT"
    STORE_FAILED = "STORE_FAILED"
    STORE_CORRUPT = "STORE_CORRUPT"
    CONFIG_INVALID = "CONFIG_INVALID"
    VERSION_SKEW = "VERSION_SKEW"
    UNKNOWN_POD = "UNKNOWN_POD"
    ADDRESS_QUARANTINED = "ADDRESS_QUARANTINED"
    POD_BUSY = "POD_BUSY"
    IPAM_UNREACHABLE = "IPAM_UNREACHABLE"
    NETCONF_UNREACHABLE = "NETCONF_UNREACHABLE"
    ENI_MANAGER_UNREACHABLE = "ENI_MANAGER_UNREACHABLE"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    DRAINING = "DRAINING"
    NOT_READY = "NOT_READY"
    KUBERNETES_UNREACHABLE = "KUBERNETES_UNREACHABLE"
    POD_NOT_FOUND = "POD_NOT_FOUND"
    BRANCH_ENI_MISSING = "BRANCH_ENI_MISSING"
    TRUNK_MISSING = "TRUNK_MISSING"
    REQUEST_INVALID = "REQUEST_INVALID"
    INTERNAL = "INTERNAL"


class Code(enum.IntEnum):
    """The gRPC status codes in use (numbers of the gRPC specification)."""

    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15


# CNI specification 1.1, "Error": 1-99 are reserved, 100 and up are the plugin's own.
CNI_UNKNOWN_CONTAINER: Final = 3
CNI_INVALID_ENVIRONMENT: Final = 4
CNI_INVALID_CONFIG: Final = 7
CNI_TRY_AGAIN_LATER: Final = 11
CNI_NOT_AVAILABLE: Final = 50
CNI_OWN_PERMANENT: Final = 100
CNI_OWN_INTERNAL: Final = 101


@dataclasses.dataclass(frozen=True, slots=True)
class ReasonInfo:
    """What is known of one reason.

    ``owner``: ipam, netconf, eni-manager, plugin or any. ``retryable``: the same call may succeed later without anyone
    changing a setting. ``cni_code``: code of the CNI error object. ``hint``: one sentence for the operator.
    """

    owner: str
    retryable: bool
    code: Code
    cni_code: int
    hint: str

    @property
    def doc_anchor(self) -> str:
        """Name of the section in docs/reasons.md is the reason's own name, lower case."""
        return "docs/reasons.md"


def _later(owner: str, hint: str, code: Code = Code.UNAVAILABLE) -> ReasonInfo:
    return ReasonInfo(owner, True, code, CNI_TRY_AGAIN_LATER, hint)


def _permanent(owner: str, hint: str, code: Code, cni_code: int = CNI_OWN_PERMANENT) -> ReasonInfo:
    return ReasonInfo(owner, False, code, cni_code, hint)


_R: Final = Reason
REASON_INFO: Final[dict[Reason, ReasonInfo]] = {
    _R.POOL_WARMING: _later(
        "ipam",
        "Addresses are on their way; the runtime retries. If it stays: look at EC2 errors and attach times.",
        Code.RESOURCE_EXHAUSTED,
    ),
    _R.ALL_COOLING: _later(
        "ipam",
        "Free addresses are cooling down (IP_COOLDOWN_PERIOD seconds). Raise WARM_IP_TARGET if pods churn fast.",
        Code.RESOURCE_EXHAUSTED,
    ),
    _R.ENI_LIMIT: _later(
        "ipam",
        "The instance type holds no more addresses. Lower max-pods, use prefix delegation or a larger instance.",
        Code.RESOURCE_EXHAUSTED,
    ),
    _R.SUBNET_FULL: _later(
        "eni-manager",
        "No free address in any eligible subnet. Add a subnet (tag kubernetes.io/role/cni=1) or lower the warm targets.",
        Code.RESOURCE_EXHAUSTED,
    ),
    _R.SUBNET_NO_PREFIX: _later(
        "eni-manager",
        "The subnet has no aligned free block. Use a subnet CIDR reservation for prefixes.",
        Code.RESOURCE_EXHAUSTED,
    ),
    _R.NODE_NOT_GROWING: _later(
        "ipam",
        "The node is cordoned, terminating, or provisioning is off, so no address is added. Uncordon it, or run the pod elsewhere.",
        Code.RESOURCE_EXHAUSTED,
    ),
    _R.MAX_PODS: _later(
        "ipam",
        "The node holds as many addresses as it may run pods. Raise kubelet's --max-pods, or wait for cooling addresses.",
        Code.RESOURCE_EXHAUSTED,
    ),
    _R.EC2_THROTTLED: _later(
        "eni-manager",
        "EC2 throttles this account. Fewer calls: MINIMUM_IP_TARGET with WARM_IP_TARGET, or prefix delegation.",
    ),
    _R.EC2_UNREACHABLE: _later(
        "eni-manager", "The EC2 endpoint does not answer. Check routes, DNS, VPC endpoints and proxies of the node."
    ),
    _R.EC2_REFUSED: _later(
        "eni-manager",
        "EC2 refused the call. Look its error code up (it is in the message) and correct what it names.",
        Code.FAILED_PRECONDITION,
    ),
    _R.IAM_DENIED: _permanent(
        "eni-manager", "The role lacks a permission. Attach the policy of docs/iam-policy.md.", Code.PERMISSION_DENIED
    ),
    _R.IMDS_UNREACHABLE: _later(
        "eni-manager",
        "Instance metadata does not answer. Check that it is enabled and the hop limit is at least 2 for pods off the host network.",
    ),
    _R.ENI_ATTACH_FAILED: _later(
        "eni-manager",
        "An ENI was created but did not attach; it was deleted again and will be retried. If it stays: see EC2's error in the message.",
    ),
    _R.ENI_CONFIG_MISSING: _permanent(
        "ipam", "Create the ENIConfig that the node's label or annotation names.", Code.FAILED_PRECONDITION
    ),
    _R.ENI_CONFIG_INVALID: _permanent(
        "ipam", "Correct the ENIConfig; the message names the field.", Code.FAILED_PRECONDITION
    ),
    _R.SUBNET_NONE_ELIGIBLE: _permanent(
        "eni-manager",
        "Every subnet was refused; the message says why for each. Tag one with kubernetes.io/role/cni=1, or correct its tags.",
        Code.FAILED_PRECONDITION,
    ),
    _R.CAPACITY_IN_USE: _permanent(
        "eni-manager", "The address or ENI is in use and was kept. Nothing to do.", Code.FAILED_PRECONDITION
    ),
    _R.NETNS_GONE: _permanent(
        "netconf",
        "The pod's network namespace does not exist. Nothing to do: the runtime makes a new sandbox.",
        Code.NOT_FOUND,
        CNI_UNKNOWN_CONTAINER,
    ),
    _R.NETNS_INVALID: _permanent(
        "netconf",
        "CNI_NETNS does not name a network namespace. Mount the runtime's namespace directory into netconf (chart: netns volume).",
        Code.INVALID_ARGUMENT,
        CNI_INVALID_ENVIRONMENT,
    ),
    _R.LINK_EXISTS: _permanent(
        "netconf",
        "The pod's namespace already has an interface of that name. Remove the other CNI configuration from /etc/cni/net.d.",
        Code.FAILED_PRECONDITION,
    ),
    _R.LINK_MISSING: _later(
        "netconf",
        "No link with the ENI's MAC address appeared on the node. Check `ip link` for it and stop what moves or renames it.",
    ),
    _R.KERNEL_REFUSED: _later(
        "netconf",
        "The kernel refused a change; the message has the command and errno. Check netconf's capabilities and kernel modules.",
        Code.INTERNAL,
    ),
    _R.PACKET_FILTER_FAILED: _later(
        "netconf",
        "iptables or nft refused the rules; the message has its output. Use one backend on the host (legacy or nft), see `vpccni doctor`.",
        Code.INTERNAL,
    ),
    _R.STATE_DIFFERS: _permanent(
        "netconf",
        "The kernel differs from what was set up; the message lists each object. netconf repairs them; if they go again, look for what removes them (`vpccni doctor`).",
        Code.FAILED_PRECONDITION,
    ),
    _R.TABLE_CONFLICT: _permanent(
        "netconf",
        "The route table number is reserved or in use by something else. Remove the rules or routes that use it.",
        Code.FAILED_PRECONDITION,
    ),
    _R.STORE_FAILED: _later(
        "ipam", "The checkpoint could not be written; check space and permissions of its directory.", Code.DATA_LOSS
    ),
    _R.STORE_CORRUPT: _later(
        "ipam",
        "The checkpoint was unreadable and was set aside; state was rebuilt from the kernel. Check the disk under /var/run.",
        Code.DATA_LOSS,
    ),
    _R.CONFIG_INVALID: _permanent(
        "any",
        "A setting is wrong. Correct it: the message names the field, the value and what is allowed.",
        Code.INVALID_ARGUMENT,
        CNI_INVALID_CONFIG,
    ),
    _R.VERSION_SKEW: _permanent(
        "ipam",
        "Plugin and services are more than two minor versions apart. Restart the aws-node pod: its init installs the plugin.",
        Code.FAILED_PRECONDITION,
    ),
    _R.UNKNOWN_POD: _permanent(
        "ipam",
        "No address is recorded for this pod interface. Delete the pod if it should have one; else nothing to do.",
        Code.NOT_FOUND,
        CNI_UNKNOWN_CONTAINER,
    ),
    _R.ADDRESS_QUARANTINED: _later(
        "ipam",
        "The address's ENI is not known yet; it is kept aside until EC2 answers. If it stays, look for a detached ENI.",
    ),
    _R.POD_BUSY: _later(
        "ipam",
        "Another call for the same pod interface is under way. Nothing to do: the runtime retries.",
        Code.ABORTED,
    ),
    _R.IPAM_UNREACHABLE: _later(
        "plugin",
        "The aws-node pod's ipam container does not answer on its socket. Look whether the pod runs on the node, and at ipam's log.",
    ),
    _R.NETCONF_UNREACHABLE: _later(
        "ipam",
        "The aws-node pod's netconf container does not answer on its socket. Look whether it restarts, and at its log.",
    ),
    _R.ENI_MANAGER_UNREACHABLE: _later(
        "ipam",
        "The aws-node pod's eni-manager container does not answer on its socket. Look whether it restarts, and at its log.",
    ),
    _R.DEADLINE_EXCEEDED: _later(
        "any",
        "The call did not finish in time; it is retried. If it stays: look at the trace and at the node's CPU load.",
        Code.DEADLINE_EXCEEDED,
    ),
    _R.DRAINING: _later("any", "The service is shutting down. Wait: a new one will answer."),
    _R.NOT_READY: _later(
        "any", "Start-up has not finished. Wait; if it stays, `vpccni status` shows which dependency is down."
    ),
    _R.KUBERNETES_UNREACHABLE: _later(
        "ipam",
        "The API server does not answer and this feature needs it. Check CLUSTER_ENDPOINT, routes and the service account's token.",
    ),
    _R.POD_NOT_FOUND: _later(
        "ipam", "The API server does not know the pod. Nothing to do: it was deleted.", Code.NOT_FOUND
    ),
    _R.BRANCH_ENI_MISSING: _later(
        "ipam",
        "The pod has no branch ENI annotation yet. Look at the VPC resource controller and the SecurityGroupPolicy.",
    ),
    _R.TRUNK_MISSING: _later(
        "ipam",
        "The node has no trunk ENI yet. Look at the VPC resource controller and whether the instance type has trunks.",
    ),
    _R.REQUEST_INVALID: _permanent(
        "any",
        "The request is malformed; the message names the field. Correct the network configuration or what calls the plugin.",
        Code.INVALID_ARGUMENT,
        CNI_INVALID_ENVIRONMENT,
    ),
    _R.INTERNAL: ReasonInfo(
        "any",
        False,
        Code.INTERNAL,
        CNI_OWN_INTERNAL,
        "A defect of ours; the service's log has the stack. Report it with `vpccni bundle`.",
    ),
}


class ReasonError(Exception):
    """A failure with a reason. Crosses processes as gRPC status, message and trailers; never loses its reason on the way.

    ``origin`` is the service where it happened (empty: this process). ``details``: what was looked at, one thing each (every subnet
    and why it was refused), for whoever shows a list; the message says it all.
    """

    def __init__(self, reason: Reason, message: str, *, origin: str = "", details: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.origin = origin
        self.details = details

    @property
    def info(self) -> ReasonInfo:
        return REASON_INFO[self.reason]

    @property
    def retryable(self) -> bool:
        return self.info.retryable

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"

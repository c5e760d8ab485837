"""What each reason means, where it comes from and what cures it: docs/reasons.md and ``vpccni explain REASON``."""

from __future__ import annotations

import dataclasses
from typing import Final

from vpccni_api.reasons import REASON_INFO, Reason


@dataclasses.dataclass(frozen=True, slots=True)
class ReasonText:
    """``meaning``: one sentence. ``cause``: what usually leads to it. ``runbook``: name of an alert with a page in
    docs/runbooks, or empty. The cure is the hint that callers are given."""

    meaning: str
    cause: str
    runbook: str = ""


_R: Final = Reason
REASON_TEXT: Final[dict[Reason, ReasonText]] = {
    _R.POOL_WARMING: ReasonText(
        "Growth is under way and did not finish within the caller's deadline.",
        "More pods arrived at once than the warm addresses cover; an ENI takes seconds to attach.",
        "VpcCniAddsWaiting",
    ),
    _R.ALL_COOLING: ReasonText(
        "Every free address was in use a moment ago and is kept aside.",
        "Pods come and go faster than IP_COOLDOWN_PERIOD, and the instance can hold no further address.",
        "VpcCniAddsWaiting",
    ),
    _R.ENI_LIMIT: ReasonText(
        "The instance type, or MAX_ENI, allows no further address.",
        "max-pods is higher than what the instance type's ENIs hold, or MAX_ENI is low.",
        "VpcCniGrowthBlocked",
    ),
    _R.SUBNET_FULL: ReasonText(
        "No eligible subnet has a free address.",
        "The subnet is too small for its nodes' pods and warm addresses, or leaked ENIs hold addresses.",
        "VpcCniSubnetAlmostFull",
    ),
    _R.SUBNET_NO_PREFIX: ReasonText(
        "The subnet has no free aligned block (/28 for IPv4, /80 for IPv6).",
        "Single addresses are scattered over the subnet, although its count of free addresses is high.",
        "VpcCniPrefixesFragmented",
    ),
    _R.NODE_NOT_GROWING: ReasonText(
        "The node may not add addresses now.",
        "It is cordoned, is being terminated, or DISABLE_NETWORK_RESOURCE_PROVISIONING is true.",
    ),
    _R.MAX_PODS: ReasonText(
        "The node already holds as many addresses as it may run pods.",
        "kubelet started more pods than the max-pods that the node declares, or addresses are still cooling down.",
    ),
    _R.EC2_THROTTLED: ReasonText(
        "EC2 answered that this account calls too often.",
        "Many nodes start at once, or another program of the account uses up the call rate.",
        "VpcCniEc2Throttled",
    ),
    _R.EC2_UNREACHABLE: ReasonText(
        "The EC2 endpoint did not answer, or the answer broke off.",
        "A private subnet without a route or VPC endpoint, DNS, a security group, or a proxy.",
        "VpcCniDependencyDown",
    ),
    _R.EC2_REFUSED: ReasonText(
        "EC2 answered with an error that has no reason of its own.",
        "The error code in the message says it; account limits and wrong security groups are the usual ones.",
        "VpcCniGrowthBlocked",
    ),
    _R.IAM_DENIED: ReasonText(
        "The role in use may not make the EC2 call.",
        "The policy is not attached, a condition or a service control policy denies, or the wrong role is in use.",
        "VpcCniIamDenied",
    ),
    _R.IMDS_UNREACHABLE: ReasonText(
        "Instance metadata did not answer.",
        "It is disabled, the hop limit is 1 for a pod off the host network, or something blocks 169.254.169.254.",
        "VpcCniDependencyDown",
    ),
    _R.ENI_ATTACH_FAILED: ReasonText(
        "An ENI was created but could not be attached, or stayed in attaching.",
        "The device number was taken by someone else, or the instance is stopping.",
        "VpcCniGrowthBlocked",
    ),
    _R.ENI_CONFIG_MISSING: ReasonText(
        "The ENIConfig that the node names does not exist.",
        "Custom networking is on and the label or annotation names an ENIConfig that nobody created.",
        "VpcCniGrowthBlocked",
    ),
    _R.ENI_CONFIG_INVALID: ReasonText(
        "The ENIConfig has a field that cannot be used.",
        "An unknown subnet, a subnet of another zone or VPC, or a security group that does not exist.",
        "VpcCniGrowthBlocked",
    ),
    _R.SUBNET_NONE_ELIGIBLE: ReasonText(
        "Every candidate subnet was refused.",
        "All of them are in another zone, tagged kubernetes.io/role/cni=0, or full.",
        "VpcCniGrowthBlocked",
    ),
    _R.CAPACITY_IN_USE: ReasonText(
        "An address or ENI that is in use was asked to be released.",
        "A pod got the address between the decision and the call; nothing is lost.",
    ),
    _R.NETNS_GONE: ReasonText(
        "The pod's network namespace path does not exist.", "The runtime removed the sandbox while it was being set up."
    ),
    _R.NETNS_INVALID: ReasonText(
        "The path exists but is not a network namespace.",
        "The runtime's directory is not mounted into netconf's container, or the path is wrong.",
    ),
    _R.LINK_EXISTS: ReasonText(
        "The pod's namespace already has an interface of that name.",
        "Another plugin of the chain, or another CNI's configuration, made it first.",
    ),
    _R.LINK_MISSING: ReasonText(
        "No link on the node has the ENI's MAC address.",
        "The kernel did not show the attached ENI in time, or something moved or renamed it away.",
    ),
    _R.KERNEL_REFUSED: ReasonText(
        "The kernel answered with an errno that has no reason of its own.",
        "A missing kernel module or capability, or another program that changed the same object.",
    ),
    _R.PACKET_FILTER_FAILED: ReasonText(
        "iptables or nft refused the rules.",
        "The other backend (legacy or nft) is loaded, the lock is held for long, or a module is missing.",
    ),
    _R.STATE_DIFFERS: ReasonText(
        "CHECK found that the kernel is not what was set up for the pod.",
        "Something else removed or changed links, routes, rules or addresses.",
        "VpcCniDriftFight",
    ),
    _R.TABLE_CONFLICT: ReasonText(
        "A route table number that is not ours to use.",
        "Another program uses the table, or two ENIs would share a number.",
    ),
    _R.STORE_FAILED: ReasonText(
        "The checkpoint could not be made durable, so the address was not given out.",
        "The file system is full, read-only or failing.",
        "VpcCniDependencyDown",
    ),
    _R.STORE_CORRUPT: ReasonText(
        "The checkpoint was unreadable.", "The node lost power on a failing disk, or somebody edited the file."
    ),
    _R.CONFIG_INVALID: ReasonText(
        "A setting, or a combination of settings, cannot be used.",
        "See docs/configuration.md for what is allowed.",
        "VpcCniBadSetting",
    ),
    _R.VERSION_SKEW: ReasonText(
        "Plugin and ipam are more than two minor versions apart.",
        "An upgrade replaced the services but not the binary on the node, or the other way round.",
        "VpcCniVersionsDiffer",
    ),
    _R.UNKNOWN_POD: ReasonText(
        "No address is recorded for this pod interface.",
        "The pod was set up by another CNI, or has been released already.",
    ),
    _R.ADDRESS_QUARANTINED: ReasonText(
        "The address is recorded, but the ENI that should hold it is not known.",
        "EC2 or instance metadata has not answered since the start, or somebody detached the ENI.",
        "VpcCniAddressesQuarantined",
    ),
    _R.POD_BUSY: ReasonText(
        "Another call for the same pod interface is under way.",
        "The runtime gave up on a call and repeated it before the first one had ended.",
    ),
    _R.IPAM_UNREACHABLE: ReasonText(
        "The plugin got no answer on ipam's socket.",
        "The aws-node pod is starting, restarting or missing on the node.",
        "VpcCniDown",
    ),
    _R.NETCONF_UNREACHABLE: ReasonText(
        "ipam got no answer on netconf's socket.",
        "The netconf container restarts or fails.",
        "VpcCniDependencyDown",
    ),
    _R.ENI_MANAGER_UNREACHABLE: ReasonText(
        "ipam got no answer on eni-manager's socket.",
        "The eni-manager container restarts or fails; pods still get the addresses at hand.",
        "VpcCniDependencyDown",
    ),
    _R.DEADLINE_EXCEEDED: ReasonText(
        "The call did not finish in the time that its caller gave it.",
        "The node is overloaded, or a dependency answers slowly; the trace shows which.",
        "VpcCniAddSlow",
    ),
    _R.DRAINING: ReasonText(
        "The service is shutting down and takes no new call.", "The aws-node pod is being replaced."
    ),
    _R.NOT_READY: ReasonText(
        "Start-up has not finished.", "The first answer of a dependency is being waited for.", "VpcCniNotReady"
    ),
    _R.KUBERNETES_UNREACHABLE: ReasonText(
        "The API server did not answer, and this feature needs it.",
        "Custom networking, branch ENIs or annotations are on while the API server is down or refuses.",
        "VpcCniDependencyDown",
    ),
    _R.POD_NOT_FOUND: ReasonText("The API server does not know the pod.", "It was deleted while it was being set up."),
    _R.BRANCH_ENI_MISSING: ReasonText(
        "The pod asks for a branch ENI and has no usable annotation yet.",
        "The VPC resource controller has not made one, or its limit per node is reached.",
    ),
    _R.TRUNK_MISSING: ReasonText(
        "The node has no trunk ENI.",
        "The instance type has no trunking, no ENI slot was free, or the controller does not run.",
    ),
    _R.REQUEST_INVALID: ReasonText(
        "A field of the request is missing or malformed.", "The network configuration or the runtime's input is wrong."
    ),
    _R.INTERNAL: ReasonText("A defect of ours.", "Please report it with the log of the service that the error names."),
}


def page() -> str:
    """docs/reasons.md."""
    parts = [_HEAD]
    parts += [f"- [{reason}](#{reason.lower()}): {text.meaning}" for reason, text in REASON_TEXT.items()]
    for reason, text in REASON_TEXT.items():
        info = REASON_INFO[reason]
        retry = "the same call may succeed later" if info.retryable else "a retry alone does not help"
        parts.append(f"\n## {reason}\n\n{text.meaning}\n")
        parts.append(f"- Cause: {text.cause}\n- Cure: {info.hint}")
        parts.append(f"- Owner: {info.owner}. Retry: {retry}. gRPC {info.code.name}, CNI error code {info.cni_code}.")
        if text.runbook:
            parts.append(f"- Alert: [{text.runbook}](runbooks/{text.runbook}.md)")
    return "\n".join(parts) + "\n"


_HEAD: Final = """# Reasons

Every failure has exactly one of these names, and the same name stands in the CNI error, the event on the pod, the metric's label,
the span and the log. Made from the code (`python docs/generate.py`); `vpccni explain REASON` says the same on a node.
"""

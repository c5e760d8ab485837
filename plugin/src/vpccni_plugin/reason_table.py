"""Generated from vpccni_api by plugin/generate_reason_table.py; do not edit."""

from __future__ import annotations

VERSION = "0.1.0"
IPAM_SOCKET = "/var/run/aws-node/ipam.sock"
PENDING_DEL_DIR = "/var/run/aws-node/pending-del"
REASON_TRAILER = "vpccni-reason"
ORIGIN_TRAILER = "vpccni-origin"

# reason -> (code of the CNI error object, hint for the operator)
REASONS: dict[str, tuple[int, str]] = {
    "POOL_WARMING": (
        11,
        "Addresses are on their way; the runtime retries. If it stays: look at EC2 errors and attach times.",
    ),
    "ALL_COOLING": (
        11,
        "Free addresses are cooling down (IP_COOLDOWN_PERIOD seconds). Raise WARM_IP_TARGET if pods churn fast.",
    ),
    "ENI_LIMIT": (
        11,
        "The instance type holds no more addresses. Lower max-pods, use prefix delegation or a larger instance.",
    ),
    "SUBNET_FULL": (
        11,
        "No free address in any eligible subnet. Add a subnet (tag kubernetes.io/role/cni=1) or lower the warm targets.",
    ),
    "SUBNET_NO_PREFIX": (
        11,
        "The subnet has no aligned free block. Use a subnet CIDR reservation for prefixes.",
    ),
    "NODE_NOT_GROWING": (
        11,
        "The node is cordoned, terminating, or provisioning is off, so no address is added. Uncordon it, or run the pod elsewhere.",
    ),
    "MAX_PODS": (
        11,
        "The node holds as many addresses as it may run pods. Raise kubelet's --max-pods, or wait for cooling addresses.",
    ),
    "EC2_THROTTLED": (
        11,
        "EC2 throttles this account. Fewer calls: MINIMUM_IP_TARGET with WARM_IP_TARGET, or prefix delegation.",
    ),
    "EC2_UNREACHABLE": (
        11,
        "The EC2 endpoint does not answer. Check routes, DNS, VPC endpoints and proxies of the node.",
    ),
    "EC2_REFUSED": (
        11,
        "EC2 refused the call. Look its error code up (it is in the message) and correct what it names.",
    ),
    "IAM_DENIED": (
        100,
        "The role lacks a permission. Attach the policy of docs/iam-policy.md.",
    ),
    "IMDS_UNREACHABLE": (
        11,
        "Instance metadata does not answer. Check that it is enabled and the hop limit is at least 2 for pods off the host network.",
    ),
    "ENI_ATTACH_FAILED": (
        11,
        "An ENI was created but did not attach; it was deleted again and will be retried. If it stays: see EC2's error in the message.",
    ),
    "ENI_CONFIG_MISSING": (
        100,
        "Create the ENIConfig that the node's label or annotation names.",
    ),
    "ENI_CONFIG_INVALID": (
        100,
        "Correct the ENIConfig; the message names the field.",
    ),
    "SUBNET_NONE_ELIGIBLE": (
        100,
        "Every subnet was refused; the message says why for each. Tag one with kubernetes.io/role/cni=1, or correct its tags.",
    ),
    "CAPACITY_IN_USE": (
        100,
        "The address or ENI is in use and was kept. Nothing to do.",
    ),
    "NETNS_GONE": (
        3,
        "The pod's network namespace does not exist. Nothing to do: the runtime makes a new sandbox.",
    ),
    "NETNS_INVALID": (
        4,
        "CNI_NETNS does not name a network namespace. Mount the runtime's namespace directory into netconf (chart: netns volume).",
    ),
    "LINK_EXISTS": (
        100,
        "The pod's namespace already has an interface of that name. Remove the other CNI configuration from /etc/cni/net.d.",
    ),
    "LINK_MISSING": (
        11,
        "No link with the ENI's MAC address appeared on the node. Check `ip link` for it and stop what moves or renames it.",
    ),
    "KERNEL_REFUSED": (
        11,
        "The kernel refused a change; the message has the command and errno. Check netconf's capabilities and kernel modules.",
    ),
    "PACKET_FILTER_FAILED": (
        11,
        "iptables or nft refused the rules; the message has its output. Use one backend on the host (legacy or nft), see `vpccni doctor`.",
    ),
    "STATE_DIFFERS": (
        100,
        "The kernel differs from what was set up; the message lists each object. netconf repairs them; if they go again, look for what removes them (`vpccni doctor`).",
    ),
    "TABLE_CONFLICT": (
        100,
        "The route table number is reserved or in use by something else. Remove the rules or routes that use it.",
    ),
    "STORE_FAILED": (
        11,
        "The checkpoint could not be written; check space and permissions of its directory.",
    ),
    "STORE_CORRUPT": (
        11,
        "The checkpoint was unreadable and was set aside; state was rebuilt from the kernel. Check the disk under /var/run.",
    ),
    "CONFIG_INVALID": (
        7,
        "A setting is wrong. Correct it: the message names the field, the value and what is allowed.",
    ),
    "VERSION_SKEW": (
        100,
        "Plugin and services are more than two minor versions apart. Restart the aws-node pod: its init installs the plugin.",
    ),
    "UNKNOWN_POD": (
        3,
        "No address is recorded for this pod interface. Delete the pod if it should have one; else nothing to do.",
    ),
    "ADDRESS_QUARANTINED": (
        11,
        "The address's ENI is not known yet; it is kept aside until EC2 answers. If it stays, look for a detached ENI.",
    ),
    "POD_BUSY": (
        11,
        "Another call for the same pod interface is under way. Nothing to do: the runtime retries.",
    ),
    "IPAM_UNREACHABLE": (
        11,
        "The aws-node pod's ipam container does not answer on its socket. Look whether the pod runs on the node, and at ipam's log.",
    ),
    "NETCONF_UNREACHABLE": (
        11,
        "The aws-node pod's netconf container does not answer on its socket. Look whether it restarts, and at its log.",
    ),
    "ENI_MANAGER_UNREACHABLE": (
        11,
        "The aws-node pod's eni-manager container does not answer on its socket. Look whether it restarts, and at its log.",
    ),
    "DEADLINE_EXCEEDED": (
        11,
        "The call did not finish in time; it is retried. If it stays: look at the trace and at the node's CPU load.",
    ),
    "DRAINING": (
        11,
        "The service is shutting down. Wait: a new one will answer.",
    ),
    "NOT_READY": (
        11,
        "Start-up has not finished. Wait; if it stays, `vpccni status` shows which dependency is down.",
    ),
    "KUBERNETES_UNREACHABLE": (
        11,
        "The API server does not answer and this feature needs it. Check CLUSTER_ENDPOINT, routes and the service account's token.",
    ),
    "POD_NOT_FOUND": (
        11,
        "The API server does not know the pod. Nothing to do: it was deleted.",
    ),
    "BRANCH_ENI_MISSING": (
        11,
        "The pod has no branch ENI annotation yet. Look at the VPC resource controller and the SecurityGroupPolicy.",
    ),
    "TRUNK_MISSING": (
        11,
        "The node has no trunk ENI yet. Look at the VPC resource controller and whether the instance type has trunks.",
    ),
    "REQUEST_INVALID": (
        4,
        "The request is malformed; the message names the field. Correct the network configuration or what calls the plugin.",
    ),
    "INTERNAL": (
        101,
        "A defect of ours; the service's log has the stack. Report it with `vpccni bundle`.",
    ),
}

# reasons for which no address could be had
POOL_REASONS = (
    "POOL_WARMING",
    "ALL_COOLING",
    "ENI_LIMIT",
    "SUBNET_FULL",
    "SUBNET_NO_PREFIX",
    "NODE_NOT_GROWING",
    "MAX_PODS",
    "EC2_THROTTLED",
    "EC2_UNREACHABLE",
    "EC2_REFUSED",
    "IAM_DENIED",
    "IMDS_UNREACHABLE",
    "ENI_ATTACH_FAILED",
    "ENI_CONFIG_MISSING",
    "ENI_CONFIG_INVALID",
    "SUBNET_NONE_ELIGIBLE",
    "ADDRESS_QUARANTINED",
    "ENI_MANAGER_UNREACHABLE",
    "BRANCH_ENI_MISSING",
    "TRUNK_MISSING",
)

"""docs/iam-policy.md: IAM policies for exactly the EC2 actions that eni-manager's code contains."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from vpccni_chart import api_calls

CLUSTER_TAG: Final = "cluster.k8s.amazonaws.com/name"
Statement = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Action:
    """``use``: what it is for. ``families``: IP versions of the modes that need it. ``needs``: resource types that it is authorised on."""

    use: str
    families: tuple[int, ...] = (4, 6)
    needs: tuple[str, ...] = ("network-interface",)

    @property
    def reads_only(self) -> bool:
        return not self.needs


_READ: Final = ()
ACTIONS: Final[dict[str, Action]] = {
    "DescribeInstanceTypes": Action("how many ENIs and addresses the instance type has; once per node", needs=_READ),
    "DescribeNetworkInterfaces": Action("what is attached at start; the sweep for leaked ENIs", needs=_READ),
    "DescribeSubnets": Action("which subnet a new ENI goes to, and how full it is", needs=_READ),
    "CreateNetworkInterface": Action("a further ENI", needs=("network-interface", "subnet", "security-group")),
    "CreateTags": Action("tags of a new ENI, and those that a managed ENI lacks"),
    "AttachNetworkInterface": Action("a further ENI", needs=("network-interface", "instance")),
    "ModifyNetworkInterfaceAttribute": Action(
        "delete on termination; security groups that follow the primary ENI's",
        needs=("network-interface", "instance", "security-group"),
    ),
    "DetachNetworkInterface": Action("an ENI that is no longer needed", needs=("network-interface", "instance")),
    "DeleteNetworkInterface": Action("an ENI that is no longer needed; leaked ENIs"),
    "AssignPrivateIpAddresses": Action("addresses or /28 prefixes", families=(4,)),
    "UnassignPrivateIpAddresses": Action("addresses or prefixes given back", families=(4,)),
    "AssignIpv6Addresses": Action("/80 prefixes", families=(6,)),
    "UnassignIpv6Addresses": Action("/80 prefixes given back", families=(6,)),
}
# What the original's policy has and this code never calls.
NOT_NEEDED: Final = ("DescribeInstances", "DescribeTags", "DescribeSecurityGroups")


def _names(actions: Iterable[str]) -> list[str]:
    return [f"ec2:{name}" for name in sorted(actions)]


def _arn(kind: str) -> str:
    return f"arn:aws:ec2:*:*:{kind}/*"


def _allow(
    sid: str, actions: Iterable[str], resource: str | list[str], condition: Mapping[str, Any] | None = None
) -> Statement:
    made: Statement = {"Sid": sid, "Effect": "Allow", "Action": _names(actions), "Resource": resource}
    return made | {"Condition": dict(condition)} if condition else made


def _policy(statements: Iterable[Statement]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def plain(family: int) -> dict[str, Any]:
    """The policy of one IP family, not scoped: tags of ENIs only, everything else on any resource."""
    wanted = {name for name, action in ACTIONS.items() if family in action.families}
    return _policy(
        (
            _allow("Pool", wanted - {"CreateTags"}, "*"),
            _allow("Tags", ["CreateTags"], _arn("network-interface")),
        )
    )


def scoped() -> dict[str, Any]:
    """Both families; ENIs of other clusters cannot be touched. CLUSTER, REGION, ACCOUNT and VPC are to be replaced."""
    own = {"StringEquals": {f"aws:ResourceTag/{CLUSTER_TAG}": "CLUSTER"}}
    own_node = {"StringEquals": {"aws:ResourceTag/kubernetes.io/cluster/CLUSTER": "owned"}}
    own_vpc = {"ArnEquals": {"ec2:Vpc": "arn:aws:ec2:REGION:ACCOUNT:vpc/VPC"}}
    changes = {name: action for name, action in ACTIONS.items() if not action.reads_only}
    on_own = set(changes) - {"CreateNetworkInterface"}
    on_node = {name for name, action in changes.items() if "instance" in action.needs}
    return _policy(
        (
            _allow("Read", set(ACTIONS) - set(changes), "*"),
            _allow(
                "CreateTagged",
                ["CreateNetworkInterface"],
                _arn("network-interface"),
                {"StringEquals": {f"aws:RequestTag/{CLUSTER_TAG}": "CLUSTER"}},
            ),
            _allow("CreateInOwnVpc", ["CreateNetworkInterface"], [_arn("subnet"), _arn("security-group")], own_vpc),
            _allow(
                "TagAtCreation",
                ["CreateTags"],
                _arn("network-interface"),
                {"StringEquals": {"ec2:CreateAction": "CreateNetworkInterface"}},
            ),
            _allow("OwnInterfaces", on_own, _arn("network-interface"), own),
            _allow("OwnNodes", on_node, _arn("instance"), own_node),
            _allow("GroupsOfOwnVpc", ["ModifyNetworkInterfaceAttribute"], _arn("security-group"), own_vpc),
        )
    )


def _block(policy: Mapping[str, Any]) -> str:
    return f"```json\n{json.dumps(policy, indent=2)}\n```\n"


def _table() -> str:
    rows = ["| action | for | mode |", "|---|---|---|"]
    for name in sorted(ACTIONS):
        families = ACTIONS[name].families
        rows.append(f"| `ec2:{name}` | {ACTIONS[name].use} | {'both' if len(families) == 2 else f'IPv{families[0]}'} |")
    return "\n".join(rows) + "\n"


def page() -> str:
    """Raises AssertionError when the code calls an action that no row here describes, or no longer calls one that a row does."""
    called = api_calls.ec2_actions()
    if called != set(ACTIONS):
        raise AssertionError(f"iam.ACTIONS and eni-manager's calls differ: {sorted(called ^ set(ACTIONS))}")
    return f"""\
# IAM policies

Made from the EC2 calls in `services/eni-manager` by `python -m vpccni_chart`; do not edit. A test holds the two together.

Only eni-manager calls AWS. ipam and netconf need no permission, and get no credentials. When and how often each call is made:
`docs/ec2.md`. A call that is refused shows as reason `IAM_DENIED`, with the action's name.

## Who gets it

The role of the service account `kube-system/aws-node`: by `serviceAccount.annotations` (`eks.amazonaws.com/role-arn`, IAM roles
for service accounts), or by an EKS Pod Identity association. The chart's annotation `eks.amazonaws.com/skip-containers` keeps
token and variables out of every container but eni-manager. Without either, eni-manager uses the node's instance role: then every
pod that reaches the instance metadata service can do what the policy allows; keep the hop limit at 1.

For other partitions write `arn:aws-cn:` or `arn:aws-us-gov:` in place of `arn:aws:`.

## The actions

{_table()}
Not needed, though the original's policy has them: {", ".join(f"`ec2:{name}`" for name in NOT_NEEDED)}.
With `DISABLE_NETWORK_RESOURCE_PROVISIONING` only the `Describe…` actions are called, with `ENABLE_IMDS_ONLY_MODE` none.

## IPv4

{_block(plain(4))}
## IPv6

{_block(plain(6))}
## Scoped to one cluster

For both families. Replace `CLUSTER`, `REGION`, `ACCOUNT` and `VPC`. With it, a node of this cluster cannot touch the ENIs of another.
It needs three things:

- `CLUSTER_NAME` is set (`env.CLUSTER_NAME`): eni-manager then tags each ENI that it makes with `{CLUSTER_TAG}`.
- The launch template of the nodes tags network interfaces with `{CLUSTER_TAG}=CLUSTER`: the primary ENI is made
  with the instance, and takes pod addresses too.
- Instances have the tag `kubernetes.io/cluster/CLUSTER=owned`, as EKS node groups and Karpenter set it.

{_block(scoped())}"""

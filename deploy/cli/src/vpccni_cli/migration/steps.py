"""The commands that move a cluster over, by who owns the DaemonSet today."""

from __future__ import annotations

from vpccni_cli.migration.workload import Original


def commands(original: Original) -> list[str]:
    """Shell lines and comments. The chart is named CHART, the values file values.yaml."""
    space = original.namespace
    backup = f"kubectl -n {space} get daemonset {original.name} -o yaml > {original.name}-before.yaml   # the way back"
    if original.release:
        return [
            f"# The Helm release {original.release!r} owns the DaemonSet: upgrade it.",
            backup,
            f"helm -n {space} upgrade {original.release} CHART -f values.yaml",
            f"kubectl -n {space} rollout status daemonset/{original.name}",
        ]
    addon = "aws eks delete-addon --cluster-name CLUSTER --addon-name vpc-cni --preserve"
    if original.eks_addon:
        first = ["# The EKS add-on owns the DaemonSet: take the add-on away and keep what it installed.", addon]
    else:
        first = [f"# If `aws eks list-addons` names vpc-cni: {addon}"]
    return [
        backup,
        *first,
        "# The DaemonSet is made anew, its pods are adopted and then replaced node by node.",
        f"kubectl -n {space} delete daemonset {original.name} --cascade=orphan",
        f"helm -n {space} install aws-vpc-cni CHART -f values.yaml --take-ownership   # Helm 3.17 or later",
        f"kubectl -n {space} rollout status daemonset/{original.name}",
    ]

"""What happens to the pods that run while the cluster is moved over, for one cluster's settings and version."""

from __future__ import annotations

from collections.abc import Iterator

from vpccni_cli.migration.workload import Original


def statements(original: Original) -> list[str]:
    return [*_always(original), *_by_version(original), *_by_setting(original)]


def _always(original: Original) -> Iterator[str]:
    yield (
        "Running pods keep their addresses and their traffic: veths, routes, rules and SNAT chains stay in the kernel when the"
        " old daemon stops, and have the names and numbers that our services keep."
    )
    yield (
        "The addresses in /var/run/aws-node/ipam.json are taken over as they are. An address whose ENI is not known yet is"
        " held back, not given to another pod."
    )
    yield (
        "On each node, from the end of the old pod until our first address is usable, new pods wait (kubelet retries) and"
        " deletions are made up for. The old conflist stays until ours replaces it, so the node stays Ready."
    )
    strategy = (original.daemonset["spec"].get("updateStrategy") or {}).get("type", "RollingUpdate")
    if strategy == "OnDelete":
        yield "updateStrategy is OnDelete: a node is moved over when its aws-node pod is deleted, not before."
    else:
        yield "Nodes are moved over one after the other, as updateStrategy says. No pod but aws-node restarts, no node is drained."
    yield (
        "The way back is the same: install the original again. It reads the checkpoint that ipam writes, and finds the kernel"
        " as it left it."
    )


def _by_version(original: Original) -> Iterator[str]:
    if original.version is None:
        yield (
            f"The version cannot be told from the image ({original.daemon.get('image')}). Before 1.12 there is no checkpoint,"
            " and running pods would lose their addresses: make sure that every node runs 1.12 or later."
        )
        return
    if original.version < (1, 20):
        yield (
            "Pods that were started by a version before 1.20 have no route table in their CNI result: their deletion uses the"
            " checkpoint, so keep /var/run/aws-node/ipam.json until they are gone."
        )
    if original.version < (1, 23):
        yield (
            "Whatever on the node calls the daemon at 127.0.0.1:50051 (own health checks) finds nobody there: health is at"
            " ports 61680 to 61682, by the standard gRPC health protocol."
        )


def _by_setting(original: Original) -> Iterator[str]:
    if original.is_on("ENABLE_POD_ENI"):
        mode = original.value("POD_SECURITY_GROUP_ENFORCING_MODE") or "strict"
        yield (
            f"Pods with security groups keep their branch ENIs ({mode} mode). The trunk ENI stays attached; the VPC resource"
            " controller goes on making branch ENIs."
        )
    if original.is_on("AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG"):
        yield (
            "ENIConfig objects are used as they are. Fields that are misspelt there were ignored silently; they still have no"
            " effect, and the next change of such an object is refused if spec.subnet is missing."
        )
    if original.is_on("ENABLE_PREFIX_DELEGATION"):
        yield "Prefixes stay on their ENIs; pods keep the addresses that come from them."
    if original.is_on("ENABLE_IPv6"):
        yield "IPv6 pods keep their addresses and their routes."
    if original.enforces_policies:
        yield (
            "Policies that the network policy agent has attached to running pods stay attached to their links, and are no"
            " longer updated. Pods that start later have none."
        )
    if original.value("AWS_VPC_K8S_CNI_VETHPREFIX") not in ("", "eni"):
        yield "Links of running pods keep their names; the prefix goes on to be used for new ones."
    if original.conflist or any(
        "conflist" in str(m.get("mountPath")) for m in original.daemon.get("volumeMounts") or ()
    ):
        yield "Your own conflist is written as it is; plugins chained in it must be in the host's CNI directory already."

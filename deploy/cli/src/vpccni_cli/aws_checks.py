"""What eni-manager's CheckAccess, Inspect and Describe say, as findings. Pure: plain values in, findings out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from vpccni_cli import text
from vpccni_cli.host_checks import Finding

# The alert VpcCniSubnetAlmostFull has the same figure.
LOW_FREE: Final = 32
_HOST_NETWORK_PODS: Final = 2  # kube-proxy and aws-node have no address of the pool (the original's max-pods formula)
_PREFIX_SIZE: Final = 16


def access(found: Mapping[str, Any]) -> Iterator[Finding]:
    """``found``: CheckAccessResponse."""
    yield _metadata(found)
    if found["imds_error"]:
        return
    yield from _permissions(found["actions"])
    yield from _subnets(found["subnets"], found["subnets_error"])
    yield _tags(found["missing_tags"])


def _metadata(found: Mapping[str, Any]) -> Finding:
    if found["imds_error"]:
        return Finding(
            "instance metadata",
            False,
            found["imds_error"],
            "Enable it (HttpEndpoint=enabled). A pod off the host network needs HttpPutResponseHopLimit=2, aws-node is on it: 1.",
        )
    said = {
        1: "answers; hop limit 1: pods off the host network cannot take the node's role",
        2: "answers; hop limit 2 or more: pods off the host network reach it, and the node's role with it",
    }
    return Finding("instance metadata", True, said.get(found["imds_hop_limit"], "answers; hop limit not known"))


def _permissions(actions: list[dict[str, Any]]) -> Iterator[Finding]:
    if not actions:
        yield Finding("IAM", None, "the settings allow no call to EC2")
        return
    allowed = sum(one["verdict"] == "allowed" for one in actions)
    if allowed:
        yield Finding("IAM", True, f"{allowed} of {len(actions)} EC2 calls are allowed (dry run)")
    for one in actions:
        if one["verdict"] == "denied":
            yield Finding(f"IAM ec2:{one['action']}", False, one["message"], text.cure("IAM_DENIED"))
    unknown = [one for one in actions if one["verdict"] == "unknown"]
    if unknown:
        names = ", ".join(one["action"] for one in unknown)
        yield Finding("IAM, not known", False, f"{names}: {unknown[0]['message']}", _cure_of(unknown[0]["message"]))


def _cure_of(message: str) -> str:
    return text.cure("EC2_THROTTLED" if "RequestLimitExceeded" in message else "EC2_UNREACHABLE")


def _subnets(subnets: list[dict[str, Any]], error: str) -> Iterator[Finding]:
    if error:
        yield Finding("subnets", False, error, text.cure(error.split(":")[0]))
        return
    if not subnets:
        return
    usable = [one for one in subnets if not one["refused_why"]]
    shown = "; ".join(_shown(one) for one in subnets[:4])
    if not usable:
        yield Finding("subnets", False, f"none may hold a new ENI: {shown}", text.cure("SUBNET_NONE_ELIGIBLE"))
        return
    free = sum(one["free"] for one in usable)
    if free < LOW_FREE:
        yield Finding("subnets", False, f"{free} addresses are free: {shown}", text.cure("SUBNET_FULL"))
        return
    yield Finding("subnets", True, f"{free} addresses are free: {shown}")


def _shown(one: Mapping[str, Any]) -> str:
    why = f", not used: {one['refused_why']}" if one["refused_why"] else ""
    return f"{one['subnet_id']} ({one['availability_zone']}) {one['free']} free{why}"


def _tags(missing: list[dict[str, Any]]) -> Finding:
    if not missing:
        return Finding("ENI tags", True, "every managed ENI has ours")
    shown = "; ".join(f"{one['eni_id']} lacks {', '.join(one['keys'])}" for one in missing)
    return Finding(
        "ENI tags",
        False,
        shown,
        "Allow ec2:CreateTags (docs/iam-policy.md); eni-manager writes them within 15 minutes. Without them no sweep finds a leaked ENI.",
    )


def budget(found: Mapping[str, Any]) -> Finding:
    """``found``: InspectResponse of eni-manager."""
    slow = [one for one in found["classes"] if one["rate"] < one["ceiling"] / 2]
    throttled = {one["api"]: one["throttled"] for one in found["apis"] if one["throttled"]}
    count = sum(throttled.values())
    if not slow:
        return Finding("EC2 budget", True, f"full pace; {count} throttle replies since the start")
    shown = ", ".join(f"{one['api_class']} {one['rate']:.2g}/s" for one in slow)
    apis = ", ".join(f"{api} {number}" for api, number in throttled.items())
    return Finding(
        "EC2 budget", False, f"slowed down: {shown}; throttle replies: {apis or 0}", text.cure("EC2_THROTTLED")
    )


def addresses_held(limits: Mapping[str, Any], settings: Mapping[str, str]) -> int:
    """How many pods the instance's ENIs hold at most, with the node's settings."""
    enis = int(limits["max_enis"])
    most = int(settings.get("MAX_ENI") or 0)
    enis = min(enis, most) if most > 0 else enis
    if settings.get("AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG", "").lower() == "true":
        enis -= 1
    slots = max(0, enis) * max(0, int(limits["ipv4_per_eni"]) - 1)
    nitro = limits["hypervisor"] == "nitro" or limits["bare_metal"]
    prefixes = settings.get("ENABLE_PREFIX_DELEGATION", "").lower() == "true" and nitro
    return slots * _PREFIX_SIZE if prefixes else slots


def max_pods(kubelet: int | None, held: int, instance_type: str) -> Finding:
    """``kubelet``: its --max-pods, None when it cannot be read."""
    if not kubelet:
        return Finding("max-pods", None, "kubelet's cannot be read")
    fits = held + _HOST_NETWORK_PODS
    if kubelet <= fits:
        return Finding("max-pods", True, f"kubelet {kubelet}, ENIs of {instance_type} hold {held}")
    return Finding(
        "max-pods",
        False,
        f"kubelet starts up to {kubelet} pods, the ENIs of {instance_type} hold {held} addresses",
        f"Start kubelet with --max-pods={fits}, or set ENABLE_PREFIX_DELEGATION=true on a Nitro instance.",
    )

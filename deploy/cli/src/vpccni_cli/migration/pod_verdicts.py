"""Everything of the DaemonSet that is no environment variable: labels, images, resources, scheduling, volumes, containers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from vpccni_cli.migration.verdict import Verdict, mapped, refused, same
from vpccni_cli.migration.workload import AGENT, DAEMON, INIT, Original

_KNOWN_LABELS: Final = frozenset({"k8s-app", "app.kubernetes.io/name", "app.kubernetes.io/instance"})
_KNOWN_VOLUMES: Final = frozenset(
    {"cni-bin-dir", "cni-net-dir", "log-dir", "run-dir", "xtables-lock", "bpf-pin-path", "cni-config", "dockershim", "dockersock"}
)  # fmt: skip
_TRANSIENT_ANNOTATIONS: Final = ("kubectl.kubernetes.io/", "deprecated.daemonset.")
_DEFAULT_TOLERATIONS: Final = [{"operator": "Exists"}]
_DEFAULT_CPU: Final = {"requests": {"cpu": "25m"}}
_WINDOWS: Final = {
    "enable-network-policy-controller": ("enableNetworkPolicy", "false"),
    "enable-windows-ipam": ("enableWindowsIpam", "false"),
    "enable-windows-prefix-delegation": ("enableWindowsPrefixDelegation", "false"),
    "warm-prefix-target": ("warmWindowsPrefixTarget", "0"),
    "warm-ip-target": ("warmWindowsIPTarget", "1"),
    "minimum-ip-target": ("minimumWindowsIPTarget", "3"),
    "branch-eni-cooldown": ("branchENICooldown", "60"),
}


def verdicts(original: Original) -> list[Verdict]:
    parts = (_identity, _images, _resources, _scheduling, _metadata, _probes, _containers, _volumes, _conflist, _config)
    return [verdict for part in parts for verdict in part(original)]


def _short(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)
    return text if len(text) <= 90 else text[:87] + "..."


def _identity(original: Original) -> Iterator[Verdict]:
    if original.name != "aws-node":
        yield same(f"name {original.name}", "", fullnameOverride=original.name)
    labels = original.daemonset["spec"].get("selector", {}).get("matchLabels", {})
    if labels == {"k8s-app": "aws-node"}:
        yield same(
            "selector k8s-app=aws-node", "the selector of a DaemonSet cannot be changed", originalMatchLabels=True
        )
    elif original.release and labels.get("app.kubernetes.io/instance") == original.release:
        yield same("selector of the Helm release", f"kept by upgrading the release {original.release!r} itself")
    else:
        yield mapped(
            f"selector {_short(labels)}",
            "the DaemonSet is made anew with the selector k8s-app=aws-node, which matches the running pods",
            originalMatchLabels=True,
        )
    account = original.pod.get("serviceAccountName") or "default"
    if account != original.name:
        yield same(f"serviceAccountName {account}", "", serviceAccount={"name": account})
    annotations = _kept((original.account.get("metadata") or {}).get("annotations") or {})
    if annotations:
        yield same(
            f"service account annotations {_short(annotations)}", "", serviceAccount={"annotations": annotations}
        )


def _images(original: Original) -> Iterator[Verdict]:
    image = str(original.daemon.get("image") or "")
    host = image.partition("/")[0] if "/" in image else ""
    private = "" if ".dkr.ecr." in host and host.startswith("602401143452") else host
    hint = f"; set image.registry if {host} shall hold ours as well" if private else ""
    yield mapped(f"image {image}", f"our three images and the chart's version{hint}")
    secrets = original.pod.get("imagePullSecrets")
    if secrets:
        yield same(f"imagePullSecrets {_short(secrets)}", "", imagePullSecrets=list(secrets))


def _resources(original: Original) -> Iterator[Verdict]:
    wanted = original.daemon.get("resources") or {}
    if not wanted or wanted == _DEFAULT_CPU:
        return
    yield mapped(
        f"resources {_short(wanted)}",
        "given to each of the three services: three times as much in sum",
        resources=wanted,
    )


def _scheduling(original: Original) -> Iterator[Verdict]:
    pod, spec = original.pod, original.daemonset["spec"]
    for key, usual in (
        ("tolerations", _DEFAULT_TOLERATIONS),
        ("nodeSelector", None),
        ("priorityClassName", "system-node-critical"),
    ):
        found = pod.get(key)
        if found and found != usual:
            yield same(f"{key} {_short(found)}", "", **{key: found})
    affinity = pod.get("affinity")
    if affinity and not _usual_affinity(affinity):
        yield same(f"affinity {_short(affinity)}", "", affinity=affinity)
    strategy = spec.get("updateStrategy") or {}
    rolling = strategy.get("rollingUpdate") or {}
    usual = strategy.get("type", "RollingUpdate") == "RollingUpdate" and rolling.get("maxUnavailable", "10%") == "10%"
    if strategy and not usual:
        kept = {key: value for key, value in rolling.items() if key != "maxSurge"}
        rolled = kept if strategy.get("type") != "OnDelete" else None
        yield same(
            f"updateStrategy {_short(strategy)}",
            "",
            updateStrategy={"type": strategy.get("type"), "rollingUpdate": rolled},
        )
    for key, usual_value in (
        ("dnsPolicy", "ClusterFirst"),
        ("dnsConfig", None),
        ("runtimeClassName", None),
        ("hostPID", False),
    ):
        if pod.get(key) and pod[key] != usual_value:
            yield refused(f"{key} {_short(pod[key])}", "the chart has no such value")
    if pod.get("hostNetwork") is not True:
        yield refused("hostNetwork false", "the node's own network is what the services work on")


def _usual_affinity(affinity: Mapping[str, Any]) -> bool:
    """The original's own rule in any of its versions: Linux, both architectures, not on nodes without a daemon."""
    terms = (
        affinity.get("nodeAffinity", {})
        .get("requiredDuringSchedulingIgnoredDuringExecution", {})
        .get("nodeSelectorTerms", [])
    )
    keys = {expression.get("key") for term in terms for expression in term.get("matchExpressions", ())}
    usual = {
        "kubernetes.io/os",
        "kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/arch",
        "eks.amazonaws.com/compute-type",
    }
    return list(affinity) == ["nodeAffinity"] and bool(keys) and keys <= usual


def _metadata(original: Original) -> Iterator[Verdict]:
    template = original.daemonset["spec"]["template"].get("metadata") or {}
    labels = {k: v for k, v in (template.get("labels") or {}).items() if k not in _KNOWN_LABELS}
    if labels:
        yield same(f"pod labels {_short(labels)}", "", podLabels=labels)
    annotations = _kept(template.get("annotations") or {})
    if annotations:
        yield same(f"pod annotations {_short(annotations)}", "", podAnnotations=annotations)
    context = original.pod.get("securityContext")
    if context:
        yield same(f"securityContext of the pod {_short(context)}", "", podSecurityContext=context)


def _kept(annotations: Mapping[str, str]) -> dict[str, str]:
    skipped = (*_TRANSIENT_ANNOTATIONS, "meta.helm.sh/")
    return {key: value for key, value in annotations.items() if not key.startswith(skipped)}


def _probes(original: Original) -> Iterator[Verdict]:
    for kind in ("livenessProbe", "readinessProbe"):
        probe = original.daemon.get(kind) or {}
        if not probe:
            continue
        timeout = probe.get("timeoutSeconds", 1)
        values = {f"{kind}TimeoutSeconds": timeout} if timeout not in (1, 10) else {}
        yield mapped(f"{kind} (exec)", "kubelet's own gRPC probes, one set for each container", **values)


def _containers(original: Original) -> Iterator[Verdict]:
    pod = original.pod
    for container in pod.get("containers") or ():
        if container["name"] not in (DAEMON, AGENT):
            yield refused(
                f"container {container['name']}", "the chart runs its own containers only; use a DaemonSet of its own"
            )
    for container in pod.get("initContainers") or ():
        if container["name"] != INIT:
            yield refused(f"init container {container['name']}", "the chart runs its own containers only")
    if original.agent is None:
        return
    if original.enforces_policies:
        yield refused(
            f"container {AGENT} with network policies on",
            "our plugin does not call the agent when a pod starts: policies would not hold from a pod's first packet;"
            " keep the original, or enforce policies by another engine (nodeAgent.enabled=true only adds the container)",
        )
    else:
        yield mapped(
            f"container {AGENT}", "network policies are off: the container is left out (nodeAgent.enabled=false)"
        )


def _volumes(original: Original) -> Iterator[Verdict]:
    volumes = {volume["name"]: volume for volume in original.pod.get("volumes") or ()}
    for name, key, usual in (
        ("cni-bin-dir", "cniBinDir", "/opt/cni/bin"),
        ("cni-net-dir", "cniConfDir", "/etc/cni/net.d"),
    ):
        path = volumes.get(name, {}).get("hostPath", {}).get("path", usual)
        if path.rstrip("/") != usual:
            yield same(f"volume {name} at {path}", "", **{key: path.rstrip("/")})
    run_dir = volumes.get("run-dir", {}).get("hostPath", {}).get("path", "/var/run/aws-node")
    if run_dir.rstrip("/") not in ("/var/run/aws-node", "/run/aws-node"):
        yield refused(f"volume run-dir at {run_dir}", "sockets and checkpoint are in /var/run/aws-node here")
    own = [volume for name, volume in volumes.items() if name not in _KNOWN_VOLUMES and not _injected(name)]
    if own:
        names = {volume["name"] for volume in own}
        mounts = [mount for mount in original.daemon.get("volumeMounts") or () if mount["name"] in names]
        yield mapped(
            f"volumes {', '.join(sorted(names))}",
            "mounted in the init container and in ipam",
            extraVolumes=own,
            extraVolumeMounts=mounts,
        )


def _injected(name: str) -> bool:
    return name.startswith(("kube-api-access-", "aws-iam-token", "eks-pod-identity-token"))


def _conflist(original: Original) -> Iterator[Verdict]:
    mounts: Iterable[Mapping[str, Any]] = original.daemon.get("volumeMounts") or ()
    if not any(str(mount.get("mountPath", "")).endswith("10-aws.conflist") for mount in mounts):
        return
    if not original.conflist:
        yield refused(
            "own conflist", "its ConfigMap is not in the input: give it as well, or set cniConfig.fileContents"
        )
        return
    yield same("own conflist", "", cniConfig={"enabled": True, "fileContents": original.conflist})


def _config(original: Original) -> Iterator[Verdict]:
    for key, value in original.config.items():
        name, usual = _WINDOWS.get(key, ("", ""))
        if not name:
            yield refused(
                f"ConfigMap amazon-vpc-cni {key}={value!r}", "the chart does not have this key and would remove it"
            )
        elif value != usual:
            yield same(f"ConfigMap amazon-vpc-cni {key}={value!r}", "", **{name: value})

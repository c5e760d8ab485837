"""The original's DaemonSet, read from what ``kubectl get -o json`` or a manifest says."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from vpccni_cli.errors import UsageError

Object = Mapping[str, Any]

DAEMON: Final = "aws-node"
INIT: Final = "aws-vpc-cni-init"
AGENT: Final = "aws-eks-nodeagent"
OLDEST: Final = (1, 12)
_OUR_CONTAINERS: Final = frozenset({"eni-manager", "ipam", "netconf"})


@dataclasses.dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable: a value, or where it comes from (valueFrom)."""

    name: str
    value: str
    source: Object | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Original:
    """``version``: (major, minor), None when nothing tells it. ``release``: name of the Helm release that owns it, or empty.

    ``account`` and ``config`` are the ServiceAccount and the ConfigMap amazon-vpc-cni, ``conflist`` the ConfigMap with an own
    conflist: empty when they were not given.
    """

    name: str
    namespace: str
    version: tuple[int, int] | None
    version_text: str
    release: str
    eks_addon: bool
    daemonset: Object
    daemon: Object
    init: Object
    account: Object
    config: Mapping[str, str]
    conflist: str

    @property
    def pod(self) -> Object:
        spec: Object = self.daemonset["spec"]["template"]["spec"]
        return spec

    @property
    def daemon_env(self) -> tuple[Variable, ...]:
        return _variables(self.daemon)

    @property
    def init_env(self) -> tuple[Variable, ...]:
        return _variables(self.init)

    @property
    def agent(self) -> Object | None:
        return next((c for c in self.pod.get("containers") or () if c.get("name") == AGENT), None)

    @property
    def enforces_policies(self) -> bool:
        """The policy agent runs and is told to work, by its arguments or by the ConfigMap for EKS's controller."""
        if self.agent is None:
            return False
        told = "--enable-network-policy=true" in [str(part) for part in self.agent.get("args") or ()]
        return told or self.config.get("enable-network-policy-controller") == "true"

    def is_on(self, name: str) -> bool:
        """A boolean of the daemon, as Go reads it; unset is off."""
        return any(v.name == name and v.value in ("1", "t", "T", "TRUE", "true", "True") for v in self.daemon_env)

    def value(self, name: str) -> str:
        return next((v.value for v in self.daemon_env if v.name == name), "")


def read(documents: Iterable[Any], name: str = DAEMON) -> Original:
    """Raises UsageError when there is no such DaemonSet, it is not the original's, or it is older than 1.12."""
    found = list(_flatten(documents))
    sets = [thing for thing in found if thing.get("kind") == "DaemonSet"]
    daemonset = next((thing for thing in sets if _name(thing) == name), None)
    if daemonset is None:
        others = ", ".join(sorted({f"{thing.get('kind')}/{_name(thing)}" for thing in found})) or "nothing"
        raise UsageError(f"no DaemonSet {name!r} in the input; it holds {others}")
    containers, inits = _containers(daemonset)
    if containers.keys() & _OUR_CONTAINERS:
        raise UsageError(f"DaemonSet {name!r} is ours already (containers {', '.join(sorted(containers))})")
    daemon = containers.get(DAEMON)
    if daemon is None:
        raise UsageError(f"DaemonSet {name!r} has no container {DAEMON!r}: it is not the original's")
    version_text = _version_text(daemonset, daemon)
    version = _parsed(version_text)
    if version is not None and version < OLDEST:
        raise UsageError(
            f"version {version_text}: before 1.12 there is no checkpoint of the pods' addresses on the node;"
            " upgrade the original to 1.12 or later first, wait until every node has it, then migrate"
        )
    metadata = daemonset.get("metadata") or {}
    maps = {_name(thing): thing.get("data") or {} for thing in found if thing.get("kind") == "ConfigMap"}
    account_name = daemonset["spec"]["template"]["spec"].get("serviceAccountName") or DAEMON
    accounts = [thing for thing in found if thing.get("kind") == "ServiceAccount" and _name(thing) == account_name]
    return Original(
        name=name,
        namespace=str(metadata.get("namespace") or "kube-system"),
        version=version,
        version_text=version_text,
        release=str((metadata.get("annotations") or {}).get("meta.helm.sh/release-name") or ""),
        eks_addon=any(field.get("manager") == "eks" for field in metadata.get("managedFields") or ()),
        daemonset=daemonset,
        daemon=daemon,
        init=inits.get(INIT, {}),
        account=accounts[0] if accounts else {},
        config=maps.get("amazon-vpc-cni", {}),
        conflist=next((str(data["10-aws.conflist"]) for data in maps.values() if "10-aws.conflist" in data), ""),
    )


def _flatten(documents: Iterable[Any]) -> Iterator[Object]:
    for document in documents:
        if isinstance(document, Mapping) and document.get("kind") == "List":
            yield from _flatten(document.get("items") or ())
        elif isinstance(document, Mapping):
            yield document
        elif document is not None:
            raise UsageError(f"the input is not a Kubernetes object: {str(document)[:60]!r}")


def _containers(daemonset: Object) -> tuple[dict[str, Object], dict[str, Object]]:
    try:
        spec = daemonset["spec"]["template"]["spec"]
        containers = {str(c["name"]): c for c in spec["containers"]}
        inits = {str(c["name"]): c for c in spec.get("initContainers") or ()}
    except (KeyError, TypeError) as error:
        raise UsageError(f"the DaemonSet has no usable spec.template.spec ({error!r} is missing)") from None
    return containers, inits


def _name(thing: Object) -> str:
    return str((thing.get("metadata") or {}).get("name") or "")


def _variables(container: Object) -> tuple[Variable, ...]:
    found = container.get("env") or ()
    return tuple(Variable(str(v["name"]), str(v.get("value") or ""), v.get("valueFrom")) for v in found)


def _version_text(daemonset: Object, daemon: Object) -> str:
    """The image's tag, VPC_CNI_VERSION, or the label: the first that is a version."""
    image = str(daemon.get("image") or "")
    tag = image.split("@")[0].rpartition("/")[2].partition(":")[2]
    variable = next((v.value for v in _variables(daemon) if v.name == "VPC_CNI_VERSION"), "")
    label = (daemonset.get("metadata", {}).get("labels") or {}).get("app.kubernetes.io/version", "")
    return next((text for text in (tag, variable, str(label)) if _parsed(text)), tag)


def _parsed(text: str) -> tuple[int, int] | None:
    found = re.match(r"v?(\d+)\.(\d+)(\.\d+)?", text)
    return (int(found[1]), int(found[2])) if found else None

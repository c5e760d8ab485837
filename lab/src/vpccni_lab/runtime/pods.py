"""Pods of a node: a network namespace each, wired by the node's CNI, recorded on disk so that any process can go on."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import secrets
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final, TypeVar

from vpccni_api.reasons import Reason, ReasonError

from vpccni_lab.linux import syscalls
from vpccni_lab.nodes.node import Node
from vpccni_lab.probe.reach import Endpoint
from vpccni_lab.runtime import conflist
from vpccni_lab.runtime.conflist import Attachment, ConfList
from vpccni_lab.runtime.invoke import CniError
from vpccni_lab.runtime.network import CniNetwork, Outcome

_T = TypeVar("_T")
RECORDS: Final = Path("/var/lib/vpclab/pods")
"""Where a thread inside the node finds the records (nodes/boot.py, KEPT)."""
CONF_DIR: Final = Path("/etc/cni/net.d")


@dataclasses.dataclass(frozen=True, slots=True)
class Pod:
    """One pod sandbox. ``netns``: path inside the node. ``addresses``: without prefix length, from the CNI result.

    ``trace_id``: of the ADD, 32 hex digits. ``add_seconds``: time in plugin processes. ``capabilities``: capability arguments
    for chained plugins (portMappings, bandwidth), as a kubelet derives them from the pod's spec.
    """

    name: str
    namespace: str
    uid: str
    container_id: str
    netns: str
    node: str
    addresses: tuple[str, ...] = ()
    trace_id: str = ""
    add_seconds: float = 0.0
    created: float = 0.0
    annotations: tuple[tuple[str, str], ...] = ()
    capabilities: Mapping[str, Any] = dataclasses.field(default_factory=dict, hash=False)

    @property
    def address(self) -> str:
        """The first address; empty when the pod is not wired."""
        return self.addresses[0] if self.addresses else ""

    @property
    def attachment(self) -> Attachment:
        """As a kubelet with containerd passes it (CNI_ARGS keys: containerd's CRI plugin)."""
        return Attachment(
            container_id=self.container_id,
            netns=self.netns,
            args=(
                ("IgnoreUnknown", "1"),
                ("K8S_POD_NAMESPACE", self.namespace),
                ("K8S_POD_NAME", self.name),
                ("K8S_POD_INFRA_CONTAINER_ID", self.container_id),
                ("K8S_POD_UID", self.uid),
            ),
            capability_args={"io.kubernetes.cri.pod-annotations": dict(self.annotations), **self.capabilities},
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """A pod that could not be started or removed, and why."""

    pod: Pod
    error: Exception


Done = Callable[[Pod | Failure], None]


def new_pod(
    node: str,
    name: str,
    namespace: str = "default",
    annotations: Mapping[str, str] | None = None,
    capabilities: Mapping[str, Any] | None = None,
) -> Pod:
    """A pod with fresh ids, not started yet."""
    return Pod(
        name=name,
        namespace=namespace,
        uid=str(uuid.uuid4()),
        container_id=secrets.token_hex(32),
        netns=f"/var/run/netns/cni-{uuid.uuid4()}",
        node=node,
        trace_id=secrets.token_hex(16),
        created=time.time(),
        annotations=tuple((annotations or {}).items()),
        capabilities=dict(capabilities or {}),
    )


def load_conf() -> ConfList:
    """The network of the node: the first file in /etc/cni/net.d by name, as every runtime picks it.

    Call inside the node. Raises ReasonError NOT_READY when there is none, CONFIG_INVALID.
    """
    for path in sorted(CONF_DIR.glob("*")):
        if path.suffix in (".conflist", ".conf", ".json"):
            return conflist.parse(path.read_bytes())
    raise ReasonError(Reason.NOT_READY, f"no network configuration in {CONF_DIR}: the node's CNI is not ready")


class Pods:
    """The pods of one node, as a context: it holds threads inside the node. Safe to use from several processes.

    ``conf``: the network to use; None: what is in /etc/cni/net.d at each call.
    """

    def __init__(self, node: Node, conf: ConfList | None = None, *, workers: int = 16, trace: bool = True) -> None:
        self.node = node
        self._conf = conf
        self._trace = trace
        self._pool = node.pool(workers)

    def __enter__(self) -> Pods:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Waits for what is under way and ends the threads."""
        self._pool.shutdown()

    def start(self, pods: Sequence[Pod], done: Done | None = None) -> Iterator[Pod | Failure]:
        """Starts all pods at once (as many as there are workers); ``done`` is called as each is there or has failed.

        What failed is cleaned up (DEL, namespace) as a CRI runtime does. Returns at once; the iterator waits, in the order of
        ``pods``.
        """
        return self._pool.map(lambda pod: _outcome(self._start_or_undo, pod, done), pods)

    def stop(self, pods: Sequence[Pod], done: Done | None = None) -> Iterator[Pod | Failure]:
        """Stops all pods at once: DEL, then the namespace goes. A pod whose DEL failed stays, for the next try.

        Returns as ``start`` does.
        """
        return self._pool.map(lambda pod: _outcome(self._stop, pod, done), pods)

    def run(self, pods: Sequence[Pod]) -> list[Pod | Failure]:
        """``start``, and waits."""
        return list(self.start(pods))

    def remove(self, pods: Sequence[Pod]) -> list[Pod | Failure]:
        """``stop``, and waits."""
        return list(self.stop(pods))

    def check(self, pod: Pod) -> Outcome:
        """CNI CHECK of one pod. Raises CniError, ReasonError."""
        return self._call(lambda: self._network().check(pod.attachment))

    def gc(self) -> Outcome:
        """CNI GC with the recorded pods as the valid attachments. Raises CniError, ReasonError."""
        return self._call(lambda: self._network().gc([pod.attachment for pod in _records()]))

    def status(self) -> Outcome:
        """CNI STATUS. Raises CniError, ReasonError."""
        return self._call(lambda: self._network().status())

    def recorded(self) -> list[Pod]:
        """The recorded pods, oldest first."""
        return self._call(lambda: sorted(_records(), key=lambda pod: (pod.created, pod.name)))

    # The steps of start and stop, for those who time each by itself (the bench).

    def make_sandbox(self, pod: Pod) -> None:
        """Creates the pod's network namespace and its record. Raises OSError."""
        self._call(lambda: _make_sandbox(pod))

    def drop_sandbox(self, pod: Pod) -> None:
        """Removes the namespace and the record, without DEL."""
        self._call(lambda: _drop_sandbox(pod))

    def submit_add(self, pod: Pod) -> Future[Outcome]:
        """CNI ADD of a pod whose sandbox is there; nothing else."""
        return self._pool.submit(lambda: self._network().add(pod.attachment, self._env(pod)))

    def submit_del(self, pod: Pod) -> Future[Outcome]:
        """CNI DEL of a pod; nothing else."""
        return self._pool.submit(lambda: self._network().delete(pod.attachment))

    def _call(self, function: Callable[[], _T]) -> _T:
        return self._pool.submit(function).result()

    def _network(self) -> CniNetwork:
        return CniNetwork(self._conf or load_conf())

    def _env(self, pod: Pod) -> dict[str, str]:
        # W3C trace context; the span id stands for the runtime's own span, which nobody records
        return {"TRACEPARENT": f"00-{pod.trace_id}-{secrets.token_hex(8)}-01"} if self._trace else {}

    def _start_or_undo(self, pod: Pod) -> Pod:
        _make_sandbox(pod)
        network = self._network()
        try:
            outcome = network.add(pod.attachment, self._env(pod))
        except BaseException:
            with contextlib.suppress(CniError, OSError):
                network.delete(pod.attachment)
            _drop_sandbox(pod)
            raise
        addresses = tuple(ip["address"].partition("/")[0] for ip in (outcome.result or {}).get("ips", ()))
        pod = dataclasses.replace(pod, addresses=addresses, add_seconds=outcome.seconds)
        _write(pod)
        return pod

    def _stop(self, pod: Pod) -> Pod:
        self._network().delete(pod.attachment)
        _drop_sandbox(pod)
        return pod


def _outcome(step: Callable[[Pod], Pod], pod: Pod, done: Done | None) -> Pod | Failure:
    outcome: Pod | Failure
    try:
        outcome = step(pod)
    except (CniError, ReasonError, OSError) as exc:
        outcome = Failure(pod, exc)
    if done is not None:
        done(outcome)
    return outcome


def endpoint(node: Node, pod: Pod) -> Endpoint:
    """The pod as a party to probes, from outside the node."""
    return Endpoint(pod.name, node.file(pod.netns.replace("/var/run/", "/run/")), pod.address)


def recorded(node: Node) -> list[Pod]:
    """The pods that are recorded for a node, oldest first, read from outside (the node need not run)."""
    return sorted(_records(node.directory / "pods"), key=lambda pod: (pod.created, pod.name))


def _records(directory: Path = RECORDS) -> Iterator[Pod]:
    for path in directory.glob("*.json"):
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile
            data = json.loads(path.read_text())
            data["addresses"] = tuple(data["addresses"])
            data["annotations"] = tuple(tuple(pair) for pair in data["annotations"])
            yield Pod(**data)


def _write(pod: Pod) -> None:
    path = RECORDS / f"{pod.container_id}.json"
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(dataclasses.asdict(pod)))
    temporary.rename(path)


def _make_sandbox(pod: Pod) -> None:
    _write(pod)
    try:
        syscalls.make_netns(pod.netns)
    except OSError:
        _drop_sandbox(pod)
        raise


def _drop_sandbox(pod: Pod) -> None:
    syscalls.drop_netns(pod.netns)
    (RECORDS / f"{pod.container_id}.json").unlink(missing_ok=True)


def endpoints(node: Node, pods: Iterable[Pod]) -> list[Endpoint]:
    """:func:`endpoint` of each."""
    return [endpoint(node, pod) for pod in pods]


def file_of(node: Node, pod: Pod) -> str:
    """Path of the pod's namespace for other processes (``nsenter --net=…``)."""
    return os.fspath(endpoint(node, pod).netns)

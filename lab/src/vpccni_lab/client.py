"""How other processes use a running lab: its control socket, its nodes and their pods."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vpccni_api.reasons import Reason, ReasonError

from vpccni_lab.nodes.node import Node
from vpccni_lab.runtime.pods import Pods
from vpccni_lab.state import State
from vpccni_lab.trace.spans import Span


class LabClient:
    """One lab that is up. Use as a context, or close it. Not thread safe.

    Every method raises the ReasonError that the daemon answered, or NOT_READY when the daemon is gone.
    """

    def __init__(self, name: str) -> None:
        self.state = State(name)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.connect(str(self.state.control))
        except OSError as exc:
            self._socket.close()
            what = f"lab {name} is not up ({exc.strerror}); start it with: vpclab up {name}"
            raise ReasonError(Reason.NOT_READY, what) from exc
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> LabClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection; the lab stays up."""
        self._file.close()
        self._socket.close()

    def call(self, op: str, progress: Callable[[str], None] | None = None, **arguments: Any) -> Any:
        """One operation of vpccni_lab.daemon.operations. Waits for its end."""
        try:
            self._socket.sendall(json.dumps({"op": op, **arguments}).encode() + b"\n")
            while line := self._file.readline():
                answer = json.loads(line)
                if "progress" in answer:
                    if progress is not None:
                        progress(answer["progress"])
                elif "error" in answer:
                    raise ReasonError(Reason(answer["error"]["reason"]), answer["error"]["message"])
                else:
                    return answer["result"]
        except OSError as exc:
            raise ReasonError(Reason.NOT_READY, f"lab {self.state.name}: {exc.strerror}") from exc
        raise ReasonError(
            Reason.NOT_READY, f"the daemon of lab {self.state.name} ended; see {self.state.logs}/daemon.log"
        )

    # the lab

    def status(self) -> dict[str, Any]:
        """See daemon/operations.py, ``status``."""
        return dict(self.call("status"))

    def nodes(self, cni: str = "") -> list[Node]:
        """All nodes, or those with this ``cni`` ("vpccni", "none")."""
        kinds = {node["name"]: node["cni"] for node in self.status()["nodes"]}
        return [node for node in self.state.nodes() if cni in ("", kinds.get(node.name))]

    def node(self, name: str) -> Node:
        """Raises ReasonError REQUEST_INVALID for an unknown name."""
        return self.state.node(name)

    def pods(self, node: str, workers: int = 16) -> Pods:
        """The pods of a node. Close it, or use it as a context."""
        return Pods(self.node(node), workers=workers)

    # the cloud

    def enis(self) -> dict[str, list[dict[str, Any]]]:
        """ENIs by node name."""
        return dict(self.call("enis"))

    def public(self) -> dict[str, str]:
        """Private -> public address."""
        return dict(self.call("public"))

    def dropped(self) -> dict[str, int]:
        """Packets dropped by the source/destination check (``spoofed``), at the gateway (``no_public_ip``) and by security
        groups (``denied``)."""
        return dict(self.call("counters"))

    def ec2_counts(self) -> list[tuple[str, str, str, int]]:
        """(caller, action, code, number)."""
        return [(row[0], row[1], row[2], row[3]) for row in self.call("calls")["counts"]]

    def ec2(self, action: str, **params: Any) -> dict[str, Any]:
        """An EC2 API call as ``operator``."""
        return dict(self.call("ec2", action=action, params=params))

    def add_branch(self, node: str, groups: Sequence[str] = (), subnet: str = "") -> dict[str, Any]:
        """A branch ENI, as the VPC resource controller makes one for a pod: an entry of the annotation
        vpc.amazonaws.com/pod-eni. Raises ReasonError KERNEL_REFUSED where the kernel has no VLANs."""
        return dict(self.call("branch-add", node=node, groups=list(groups), subnet=subnet))

    def del_branch(self, eni_id: str) -> None:
        """Deletes a branch ENI."""
        self.call("branch-del", id=eni_id)

    def add_fault(self, fault: Mapping[str, Any]) -> str:
        """Fields of vpccni_lab.ec2.faults.Fault, and ``for_seconds``. Returns its id."""
        return str(self.call("fault-add", fault=dict(fault)))

    def faults(self) -> list[dict[str, Any]]:
        """The faults that stand."""
        return list(self.call("fault-list"))

    def clear_faults(self, fault_id: str = "") -> None:
        """One, or all."""
        self.call("fault-clear", id=fault_id)

    # services and spans

    def service(self, node: str, service: str, do: str, **arguments: Any) -> dict[str, Any]:
        """``do``: start, stop, restart, kill, signal (with ``signal="HUP"``). ``env``: settings from the next start on."""
        return dict(self.call("service", node=node, service=service, do=do, **arguments))

    def wait_ready(self, node: str, timeout: float = 60.0) -> None:
        """Waits until ipam of the node is ready. Raises ReasonError NOT_READY after ``timeout`` seconds."""
        self.call("wait-ready", node=node, timeout=timeout)

    def spans(self, trace_id: str, *, has: str = "", within: float = 3.0) -> list[Span]:
        """The spans of a trace, as soon as one is called ``has``; else after ``within`` seconds."""
        return [Span.from_dict(span) for span in self.call("spans", trace_id=trace_id, has=has, within=within)]

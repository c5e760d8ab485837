"""What can be asked of a running lab (see control.py for the protocol)."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Mapping
from typing import Any

from vpccni_api.reasons import Reason, ReasonError

from vpccni_lab.daemon.cloud import fault_from
from vpccni_lab.daemon.control import Operation, Progress
from vpccni_lab.daemon.lab import Lab, signal_number
from vpccni_lab.ec2.errors import Ec2Error


class Operations:
    """The operations on one lab, as methods that the control server calls."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self.built = asyncio.Event()

    def table(self) -> dict[str, Operation]:
        """By name on the wire."""
        return {
            "build": self.build,
            "status": self.status,
            "enis": self.enis,
            "public": self.public,
            "counters": self.counters,
            "calls": self.calls,
            "calls-reset": self.calls_reset,
            "ec2": self.ec2,
            "fault-add": self.fault_add,
            "fault-list": self.fault_list,
            "fault-clear": self.fault_clear,
            "service": self.service,
            "branch-add": self.branch_add,
            "branch-del": self.branch_del,
            "wait-ready": self.wait_ready,
            "spans": self.spans,
            "traces": self.traces,
        }

    async def build(self, request: Mapping[str, Any], progress: Progress) -> None:
        """Once, by ``up``."""
        await self._lab.build(progress)
        self.built.set()

    async def status(self, request: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        """The lab, its nodes and their services."""
        lab = self._lab
        return {
            "name": lab.spec.name,
            "built": self.built.is_set(),
            "uptime_seconds": time.time() - lab.started,
            "ec2_endpoint": f"http://127.0.0.1:{lab.ec2_port}",
            "vpc": lab.cloud.vpc.id if lab.cloud.vpc else None,
            "subnets": {
                name: {"id": subnet.id, "cidr": str(subnet.cidr), "free": lab.cloud.ec2.free_addresses(subnet.id)}
                for name, subnet in lab.cloud.subnets.items()
            },
            "nodes": [self._node(name) for name in lab.nodes],
        }

    def _node(self, name: str) -> dict[str, Any]:
        lab, node = self._lab, self._lab.nodes[name]
        spec = next(spec for spec in lab.spec.nodes if spec.name == name)
        return {
            "name": name,
            "instance_id": node.instance_id,
            "instance_type": spec.instance_type,
            "address": node.address,
            "public": lab.cloud.public_of().get(node.address),
            "cni": spec.cni,
            "services": {
                service.spec.name: {"pid": service.pid, "exit_status": service.exit_status}
                for service in lab.services.get(name, {}).values()
            },
        }

    async def enis(self, request: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        """ENIs by node name."""
        return {name: self._lab.cloud.enis(node.instance_id) for name, node in self._lab.nodes.items()}

    async def public(self, request: Mapping[str, Any], progress: Progress) -> dict[str, str]:
        """Private -> public address."""
        return self._lab.cloud.public_of()

    async def counters(self, request: Mapping[str, Any], progress: Progress) -> dict[str, int]:
        """Packets that the fabric dropped."""
        return dataclasses.asdict(self._lab.cloud.counters())

    async def calls(self, request: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        """EC2 (or, with ``imds``, IMDS) calls: counts by caller, action and code, and the newest ``recent`` ones."""
        log = self._lab.cloud.ec2.imds_calls if request.get("imds") else self._lab.cloud.ec2.calls
        recent = log.recent(
            int(request.get("recent", 0)), caller=request.get("caller", ""), action=request.get("action", "")
        )
        return {
            "counts": [[*key, number] for key, number in sorted(log.counts.items())],
            "recent": [dataclasses.asdict(call) for call in recent],
        }

    async def calls_reset(self, request: Mapping[str, Any], progress: Progress) -> None:
        """Empties the call logs."""
        self._lab.cloud.ec2.calls.reset()
        self._lab.cloud.ec2.imds_calls.reset()

    async def ec2(self, request: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        """An EC2 API call by ``action`` and ``params``, as caller ``operator``."""
        reply = self._lab.cloud.ec2.call("operator", request["action"], request.get("params", {}))
        try:
            return dict(reply.value())
        except Ec2Error as exc:
            raise ReasonError(Reason.EC2_REFUSED, str(exc)) from exc
        except TimeoutError as exc:  # a fault that swallows answers
            raise ReasonError(Reason.EC2_UNREACHABLE, str(exc)) from exc

    async def branch_add(self, request: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        """A branch ENI for a pod of ``node`` with security ``groups`` in ``subnet``: an entry of the pod's annotation."""
        lab = self._lab
        instance = lab.node(request["node"]).instance_id
        try:
            return lab.cloud.branch(instance, request.get("groups") or (), request.get("subnet") or "")
        except Ec2Error as exc:
            raise ReasonError(Reason.EC2_REFUSED, str(exc)) from exc

    async def branch_del(self, request: Mapping[str, Any], progress: Progress) -> None:
        """Deletes branch ENI ``id``."""
        try:
            self._lab.cloud.drop_branch(request["id"])
        except Ec2Error as exc:
            raise ReasonError(Reason.EC2_REFUSED, str(exc)) from exc

    async def fault_add(self, request: Mapping[str, Any], progress: Progress) -> str:
        """Returns the fault's id."""
        return self._lab.cloud.ec2.faults.add(fault_from(request["fault"], time.time()))

    async def fault_list(self, request: Mapping[str, Any], progress: Progress) -> list[dict[str, Any]]:
        """The faults that stand."""
        return self._lab.cloud.ec2.faults.to_list()

    async def fault_clear(self, request: Mapping[str, Any], progress: Progress) -> None:
        """One by ``id``, or all."""
        if request.get("id"):
            self._lab.cloud.ec2.faults.remove(request["id"])
        else:
            self._lab.cloud.ec2.faults.clear()

    async def service(self, request: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        """``do``: start, stop, restart, kill or signal (with ``signal``) on ``service`` of ``node``.

        ``env``: settings from the next start on, over those that the lab was started with; null takes one away.
        """
        node, name, do = request["node"], request["service"], request["do"]
        service = self._lab.service(node, name)
        service.set_env(request.get("env") or {})
        loop = asyncio.get_running_loop()
        match do:
            case "start":
                await self._lab.start_service(node, name)
            case "stop":
                await loop.run_in_executor(None, service.stop, 10.0)
            case "kill":
                await loop.run_in_executor(None, service.kill)
            case "restart":
                await loop.run_in_executor(None, service.stop, 10.0)
                await self._lab.start_service(node, name)
            case "signal":
                service.signal(signal_number(str(request["signal"])))
            case _:
                raise ReasonError(Reason.REQUEST_INVALID, f"do = {do!r}: start, stop, restart, kill or signal")
        return {"pid": service.pid, "exit_status": service.exit_status}

    async def wait_ready(self, request: Mapping[str, Any], progress: Progress) -> None:
        """Waits until ipam of ``node`` is ready, at most ``timeout`` seconds."""
        await self._lab.wait_ready(request["node"], float(request.get("timeout", 60)))

    async def spans(self, request: Mapping[str, Any], progress: Progress) -> list[dict[str, Any]]:
        """The spans of ``trace_id``, once one called ``has`` is among them or ``within`` seconds are over."""
        store, deadline = self._lab.collector.store, time.monotonic() + float(request.get("within", 0))
        wanted = request.get("has", "")
        while True:
            found = store.trace(request["trace_id"])
            if time.monotonic() >= deadline or any(span.name == wanted for span in found):
                return [dataclasses.asdict(span) for span in found]
            await asyncio.sleep(0.05)

    async def traces(self, request: Mapping[str, Any], progress: Progress) -> list[str]:
        """Ids of the newest traces that hold a span called ``name``."""
        return self._lab.collector.store.latest(request.get("name", ""), int(request.get("count", 10)))

"""The stand-in for the API server (kube_standin) inside a node of the lab, so that the node's ipam has Kubernetes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from kube_standin import NODES, Api
from vpccni_lab.nodes.node import Node

T = TypeVar("T")
KUBECONFIG: Final = "/etc/vpccni-kubeconfig"
ENVIRONMENT: Final = {"VPCCNI_KUBERNETES": "on", "KUBECONFIG": KUBECONFIG, "MY_POD_NAME": "aws-node-x"}
"""For the node's services."""


class NodeApi:
    """Serves in a thread of its own in the node's network. Close it before the lab goes."""

    def __init__(self, node: Node, token: str = "secret") -> None:
        self.api = Api(token)
        self._node = node
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name=f"api-{node.name}")
        self._thread.start()
        self._do(self.api.start())
        self.api.kubeconfig(node.file(KUBECONFIG))
        self.put(
            f"{NODES}/{node.name}", {"metadata": {"uid": f"uid-{node.name}"}, "status": {"capacity": {"pods": "110"}}}
        )

    def _serve(self) -> None:
        self._node.enter()
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _stop(self) -> None:
        await self.api.stop()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def put(self, path: str, body: dict[str, Any]) -> None:
        self._do(self.api.put(path, body))

    def delete(self, path: str) -> None:
        self._do(self.api.delete(path))

    def events(self) -> list[dict[str, Any]]:
        """Every event that was posted."""
        return [body for path, body in list(self.api.objects.items()) if "/events/" in path]

    def event(self, reason: str, about: str, within_s: float = 10.0) -> dict[str, Any] | None:
        """The event of that reason about the object of that name, as soon as it is there."""
        deadline = time.monotonic() + within_s
        while True:
            for found in self.events():
                if found["reason"] == reason and found["regarding"]["name"] == about:
                    return found
            if time.monotonic() > deadline:
                return None
            time.sleep(0.05)

    def close(self) -> None:
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

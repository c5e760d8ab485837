"""The Kubernetes API through the official client, in a thread; imported only when it is used (it costs some 30 MB)."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from typing import Any, Final

from vpccni_api.reasons import Reason, ReasonError

log = logging.getLogger(__name__)
_PAUSE_S: Final = 2.0
_CALL_S: Final = 5.0


class KubernetesApi:
    """``endpoint``: API server instead of the service address; empty: as the pod's environment says."""

    def __init__(self, node_name: str, endpoint: str) -> None:
        self._node_name = node_name
        self._endpoint = endpoint
        self._core: Any = None

    async def node_capacity(self, patience_s: float) -> int:
        """Pods that kubelet runs on this node at most. Raises ReasonError(KUBERNETES_UNREACHABLE) when the API server
        gives no answer for ``patience_s`` seconds, or does not know the node."""
        end = time.monotonic() + patience_s
        while True:
            try:
                return await asyncio.to_thread(self._read_capacity)
            except ReasonError as error:
                if time.monotonic() + _PAUSE_S > end:
                    raise ReasonError(
                        Reason.KUBERNETES_UNREACHABLE, f"no answer within {patience_s:.0f} s: {error.message}"
                    ) from None
                log.warning("Kubernetes API: %s", error, extra={"reason": str(error.reason)})
            await asyncio.sleep(_PAUSE_S)

    def _read_capacity(self) -> int:
        try:
            reply = self._client().read_node(self._node_name, _preload_content=False, _request_timeout=_CALL_S)
            if reply.status != 200:
                raise ReasonError(Reason.KUBERNETES_UNREACHABLE, f"node {self._node_name}: HTTP {reply.status}")
            return int(json.loads(reply.data)["status"]["capacity"]["pods"])
        except (KeyError, TypeError, ValueError) as error:
            raise ReasonError(
                Reason.KUBERNETES_UNREACHABLE, f"node {self._node_name} has no capacity for pods: {error!r}"
            ) from error

    def _client(self) -> Any:
        if self._core is None:
            from kubernetes import client, config

            settings = client.Configuration()
            try:
                if os.environ.get("KUBECONFIG"):
                    config.load_kube_config(client_configuration=settings)
                else:
                    config.load_incluster_config(client_configuration=settings)
            except (config.ConfigException, OSError) as error:
                raise ReasonError(Reason.KUBERNETES_UNREACHABLE, f"no credentials: {error}") from error
            if self._endpoint:
                settings.host = self._endpoint if "://" in self._endpoint else f"https://{self._endpoint}"
            settings.retries = False
            self._core = _Errors(client.CoreV1Api(client.ApiClient(settings)))
        return self._core


class _Errors:
    """Turns whatever the HTTP layer raises into a reason."""

    def __init__(self, api: Any) -> None:
        self._api = api

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._api, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            from urllib3.exceptions import HTTPError

            try:
                return method(*args, **kwargs)
            except (HTTPError, OSError) as error:
                raise ReasonError(Reason.KUBERNETES_UNREACHABLE, f"{type(error).__name__}: {error}") from error

        return call

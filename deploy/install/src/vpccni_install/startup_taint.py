"""Takes the start-up taint off the node (opt-in): pods come only after the network can serve them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from vpccni_api.reasons import ReasonError

from vpccni_install.domain import taints
from vpccni_install.kube import Api

log = logging.getLogger(__name__)
_RETRY_S: Final = 2.0


def remove(node: str, key: str, api: Api | None = None, sleep: Callable[[float], None] = time.sleep) -> None:
    """Tries until the taint is gone; a refusal for good (no permission, no such node) is logged and ends it."""
    api = api or Api()
    path = f"/api/v1/nodes/{node}"
    while True:
        try:
            status, found = api.call("GET", path)
            if status == 200:
                patch = taints.removal(
                    found["spec"].get("taints") or (), key, str(found["metadata"]["resourceVersion"])
                )
                if patch is None:
                    log.info("node %s has no taint %s", node, key)
                    return
                status, found = api.call("PATCH", path, patch, "application/json-patch+json")
                if status == 200:
                    log.info("taint %s taken off node %s", key, node)
                    return
            if status in (401, 403, 404):
                log.error("taint %s stays on node %s: %s %s", key, node, status, (found or {}).get("message", ""))
                return
            log.warning("taint %s of node %s: status %s; trying again", key, node, status)
        except ReasonError as error:
            log.warning("taint %s of node %s: %s; trying again", key, node, error)
        sleep(_RETRY_S)

"""The API server as a pod sees it: a token, a CA and JSON. Standard library only, so that it costs nothing to have."""

from __future__ import annotations

import http.client
import json
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from vpccni_api.reasons import Reason, ReasonError

_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TIMEOUT_S: Final = 10.0


class Api:
    """Calls of this pod's service account. ``call`` raises ReasonError(KUBERNETES_UNREACHABLE) when nobody answers."""

    def __init__(self, environ: Mapping[str, str] = os.environ, account: Path = _ACCOUNT) -> None:
        self._host = environ.get("KUBERNETES_SERVICE_HOST", "")
        self._port = int(environ.get("KUBERNETES_SERVICE_PORT", "443") or 443)
        self._account = account

    @property
    def namespace(self) -> str:
        return (self._account / "namespace").read_text().strip()

    def call(
        self, method: str, path: str, body: object = None, content_type: str = "application/json"
    ) -> tuple[int, Any]:
        """(status, decoded body)."""
        headers = {
            "Authorization": f"Bearer {(self._account / 'token').read_text().strip()}",
            "Accept": "application/json",
        }
        data = None
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body).encode(), content_type
        context = ssl.create_default_context(cafile=str(self._account / "ca.crt"))
        connection = http.client.HTTPSConnection(self._host, self._port, timeout=_TIMEOUT_S, context=context)
        try:
            connection.request(method, path, body=data, headers=headers)
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text else None
        except (OSError, http.client.HTTPException, ValueError) as error:
            message = f"{method} {path} at {self._host}:{self._port}: {error}"
            raise ReasonError(Reason.KUBERNETES_UNREACHABLE, message) from error
        finally:
            connection.close()

"""The few values that node set-up needs from the instance metadata service (IMDSv2)."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Final

from vpccni_api.reasons import Reason, ReasonError

_TIMEOUT_S: Final = 2.0
_TRIES: Final = 30
_PAUSE_S: Final = 1.0


class Imds:
    """``endpoint``: http://host[:port]. ``get`` raises ReasonError(IMDS_UNREACHABLE) after 30 tries a second apart."""

    def __init__(self, endpoint: str, sleep: Callable[[float], None] = time.sleep, tries: int = _TRIES) -> None:
        self._base = endpoint.rstrip("/")
        self._sleep = sleep
        self._tries = tries

    def get(self, path: str) -> str | None:
        """A value below latest/meta-data/; None when there is no such value."""
        last: Exception | None = None
        for attempt in range(self._tries):
            if attempt:
                self._sleep(_PAUSE_S)
            try:
                return self._get(path)
            except urllib.error.HTTPError as error:
                with error:
                    if error.code == 404:
                        return None
                last = error
            except OSError as error:
                last = error
        raise ReasonError(Reason.IMDS_UNREACHABLE, f"{self._base}: {path}: {last}") from last

    def _get(self, path: str) -> str:
        token = self._open("PUT", "api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"})
        return self._open("GET", f"meta-data/{path}", {"X-aws-ec2-metadata-token": token})

    def _open(self, method: str, path: str, headers: dict[str, str]) -> str:
        request = urllib.request.Request(f"{self._base}/latest/{path}", method=method, headers=headers)
        # No proxy from the environment: the address is link-local.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=_TIMEOUT_S) as answer:
            return str(answer.read().decode()).strip()

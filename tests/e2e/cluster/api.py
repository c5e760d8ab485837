"""The API server over HTTPS from a host of the VPC, without a process for each question: the tests ask many."""

from __future__ import annotations

import argparse
import http.client
import json
import ssl
import threading
import urllib.parse
from pathlib import Path
from typing import Any, Final

from cluster.net import Net
from cluster.sh import CommandError

_CORE: Final = "/api/v1"
# Resource -> where it is served.
_GROUPS: Final = {
    **dict.fromkeys(("nodes", "pods", "services", "serviceaccounts", "configmaps", "secrets"), _CORE),
    "events": _CORE,
    **dict.fromkeys(("daemonsets", "deployments"), "/apis/apps/v1"),
    "jobs": "/apis/batch/v1",
    **dict.fromkeys(("clusterroles", "clusterrolebindings"), "/apis/rbac.authorization.k8s.io/v1"),
    "cninodes": "/apis/vpcresources.k8s.aws/v1alpha1",
    "eniconfigs": "/apis/crd.k8s.amazonaws.com/v1alpha1",
}
_CLUSTER_WIDE: Final = {"nodes", "clusterroles", "clusterrolebindings", "cninodes", "eniconfigs"}
_OPTIONS: Final = argparse.ArgumentParser(add_help=False)
_OPTIONS.add_argument("-n", dest="namespace", default="default")
_OPTIONS.add_argument("-A", dest="everywhere", action="store_true")
_OPTIONS.add_argument("-l", dest="labels", default="")
_OPTIONS.add_argument("--field-selector", dest="fields", default="")


class Api:
    """As the user of the certificate. ``netns``: of the host that it is asked from."""

    def __init__(self, netns: Path, address: str, port: int, authority: Path, certificate: Path, key: Path) -> None:
        self._net = Net(netns, workers=4)
        self._address, self._port = address, port
        self._tls = ssl.create_default_context(cafile=str(authority))
        self._tls.load_cert_chain(certificate, key)
        self._kept = threading.local()
        self._open: set[http.client.HTTPSConnection] = set()

    def close(self) -> None:
        self._net.close()
        for connection in self._open:
            connection.close()

    def get(self, resource: str, *arguments: str) -> list[dict[str, Any]]:
        """Items, selected as by kubectl: -n, -A, -l, --field-selector. Raises CommandError, OSError."""
        options = _OPTIONS.parse_args(arguments)
        query = {"labelSelector": options.labels, "fieldSelector": options.fields}
        place = "" if options.everywhere or resource in _CLUSTER_WIDE else f"/namespaces/{options.namespace}"
        path = f"{_GROUPS[resource]}{place}/{resource}?{urllib.parse.urlencode(query)}"
        return list(self.call("GET", path)["items"])

    def apply(self, item: dict[str, Any]) -> None:
        """Server-side apply. Raises CommandError, OSError."""
        resource = f"{item['kind'].lower()}s"
        metadata = item["metadata"]
        place = "" if resource in _CLUSTER_WIDE else f"/namespaces/{metadata.get('namespace', 'default')}"
        path = f"{_GROUPS[resource]}{place}/{resource}/{metadata['name']}?fieldManager=e2e&force=true"
        self.call("PATCH", path, json.dumps(item), "application/apply-patch+yaml")

    def call(self, method: str, path: str, body: str = "", kind: str = "application/json") -> dict[str, Any]:
        """Raises CommandError with the API server's words, OSError."""
        return dict(json.loads(self.text(path, method, body, kind)))

    def text(self, path: str, method: str = "GET", body: str = "", kind: str = "application/json") -> str:
        """Likewise, as it comes."""
        status, answer = self._net.submit(self._call, method, path, body, kind)
        if status >= 400:
            raise CommandError(f"{method} {path}: {status}: {answer.decode(errors='replace')[:2000]}")
        return answer.decode()

    def _call(self, method: str, path: str, body: str, kind: str) -> tuple[int, bytes]:
        """On a thread of the host. A connection that was closed meanwhile (the API server was away) is opened once more."""
        kept: http.client.HTTPSConnection | None = getattr(self._kept, "connection", None)
        if kept is not None:
            try:
                return _exchange(kept, method, path, body, kind)
            except (OSError, http.client.HTTPException):
                kept.close()
                self._open.discard(kept)
        self._kept.connection = None
        made = http.client.HTTPSConnection(self._address, self._port, timeout=20, context=self._tls)
        try:
            answer = _exchange(made, method, path, body, kind)
        except http.client.HTTPException as error:
            made.close()
            raise CommandError(f"{method} {path}: {error!r}") from error
        except OSError:
            made.close()
            raise
        self._kept.connection = made
        self._open.add(made)
        return answer


def _exchange(
    connection: http.client.HTTPSConnection, method: str, path: str, body: str, kind: str
) -> tuple[int, bytes]:
    headers = {"Content-Type": kind} if body else {}
    connection.request(method, path, body.encode() or None, headers)
    response = connection.getresponse()
    return response.status, response.read()

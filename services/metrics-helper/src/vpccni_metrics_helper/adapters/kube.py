"""aws-node pods and their /metrics, through the API server's pod proxy: no route from here to the nodes is needed."""

from __future__ import annotations

import dataclasses
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

from prometheus_client.parser import text_string_to_metric_families
from vpccni_api.reasons import Reason, ReasonError

from vpccni_metrics_helper.domain.aggregate import Pull, Scrape

ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
ORIGINAL_PORT: Final = 61678
_TIMEOUT_S: Final = 10.0
_AT_ONCE: Final = 8
_PAGE: Final = 500


@dataclasses.dataclass(frozen=True, slots=True)
class Api:
    """``token`` is a file that is read for every call (it is renewed on disk); None: no authentication."""

    url: str
    token: Path | None = None
    authority: Path | None = None


def in_cluster(environ: Mapping[str, str]) -> Api:
    """The pod's own. Raises ReasonError(CONFIG_INVALID) outside of a cluster."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise ReasonError(Reason.CONFIG_INVALID, "KUBERNETES_SERVICE_HOST is not set; allowed: to run in a pod")
    host = f"[{host}]" if ":" in host else host
    return Api(f"https://{host}:{port}", ACCOUNT / "token", ACCOUNT / "ca.crt")


class KubeCluster:
    """ports.Cluster. ``selector``: labels of the pods. Several pods are asked at the same time."""

    def __init__(self, api: Api, namespace: str, selector: str) -> None:
        self._api = api
        self._namespace = namespace
        self._selector = selector
        self._context = ssl.create_default_context(cafile=str(api.authority)) if api.authority else None

    def pull(self) -> Pull:
        pods = {pod["metadata"]["name"]: _ports(pod) for pod in self._pods() if _runs(pod)}
        nodes: dict[str, Scrape] = {}
        failed: dict[str, str] = {}
        with ThreadPoolExecutor(_AT_ONCE, "pull") as threads:
            answers = {name: threads.submit(self._scrape, name, ports) for name, ports in pods.items()}
        for name, answer in answers.items():
            try:
                nodes[name] = answer.result()
            except ReasonError as error:
                failed[name] = error.message
        return Pull(nodes, failed)

    def _pods(self) -> Iterable[dict[str, Any]]:
        following = ""
        while True:
            query = {"labelSelector": self._selector, "limit": str(_PAGE)} | (
                {"continue": following} if following else {}
            )
            page = json.loads(self._get(f"/api/v1/namespaces/{self._namespace}/pods?{urlencode(query)}"))
            yield from page["items"]
            following = page.get("metadata", {}).get("continue", "")
            if not following:
                return

    def _scrape(self, pod: str, ports: Iterable[int]) -> Scrape:
        found: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        for port in ports:
            path = f"/api/v1/namespaces/{self._namespace}/pods/{quote(pod)}:{port}/proxy/metrics"
            found |= parse(self._get(path).decode())
        return found

    def _get(self, path: str) -> bytes:
        request = urllib.request.Request(self._api.url + path)
        if self._api.token is not None:
            request.add_header("Authorization", f"Bearer {self._api.token.read_text().strip()}")
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S, context=self._context) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                raise ReasonError(Reason.KUBERNETES_UNREACHABLE, f"{path}: HTTP {error.code}") from error
        except OSError as error:
            raise ReasonError(Reason.KUBERNETES_UNREACHABLE, f"{path}: {error}") from error


def _runs(pod: Mapping[str, Any]) -> bool:
    return bool(pod.get("status", {}).get("phase") == "Running" and not pod["metadata"].get("deletionTimestamp"))


def _ports(pod: Mapping[str, Any]) -> tuple[int, ...]:
    """Ports of the containers whose name ends in ``metrics``; the original's pod names its own so, too."""
    ports = [port for container in pod["spec"]["containers"] for port in container.get("ports") or ()]
    named = tuple(port["containerPort"] for port in ports if str(port.get("name", "")).endswith("metrics"))
    return tuple(dict.fromkeys(named)) or (ORIGINAL_PORT,)


def parse(text: str) -> Scrape:
    """Samples of a scrape in Prometheus's text format. Raises ReasonError(INTERNAL) for anything else."""
    found = {}
    # Without the types: of a counter the parser would change the name to one with _total.
    untyped = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("# TYPE"))
    try:
        for family in text_string_to_metric_families(untyped):
            for sample in family.samples:
                found[sample.name, tuple(sorted(sample.labels.items()))] = float(sample.value)
    except ValueError as error:
        raise ReasonError(Reason.INTERNAL, f"not Prometheus's text format: {error}") from error
    return found

"""Serves the pages of a lab on one loopback port: ``/`` is the VPC, ``/node/NAME`` the node page of a node."""

from __future__ import annotations

import http.client
import http.server
import threading
import time
from typing import Final

from vpccni_api.reasons import Reason, ReasonError
from vpccni_api.sockets import INTROSPECTION_ADDRESS

from vpccni_lab.client import LabClient
from vpccni_lab.nodes.node import Node
from vpccni_lab.page import vpc

_NODE: Final = "/node/"
_TIMEOUT_S: Final = 10.0


class Pages:
    """What is shown. The lab is asked anew for each page; one page at a time."""

    def __init__(self, lab: LabClient) -> None:
        self._lab = lab
        self._lock = threading.Lock()

    def paths(self) -> dict[str, str]:
        """Node with the CNI -> path of its page."""
        return {node.name: f"{_NODE}{node.name}" for node in self._lab.nodes("vpccni")}

    def get(self, path: str) -> str:
        """HTML. Raises ReasonError: REQUEST_INVALID for an unknown path, IPAM_UNREACHABLE for a node without ipam."""
        with self._lock:
            if path == "/":
                return self._vpc()
            name = path.removeprefix(_NODE)
            if not path.startswith(_NODE) or name not in self.paths():
                raise ReasonError(Reason.REQUEST_INVALID, f"{path}: allowed are /, {', '.join(self.paths().values())}")
            return node_page(self._lab.node(name))

    def _vpc(self) -> str:
        lab = self._lab
        return vpc.page(
            vpc.View(
                status=lab.status(),
                enis=lab.enis(),
                subnets=lab.ec2("DescribeSubnets")["Subnets"],
                counts=lab.ec2_counts(),
                faults=lab.faults(),
                pages=self.paths(),
                now_unix=time.time(),
            )
        )


def node_page(node: Node) -> str:
    """The page that ipam shows a browser on the node. Raises ReasonError IPAM_UNREACHABLE."""

    def asked() -> str:
        connection = http.client.HTTPConnection(INTROSPECTION_ADDRESS, timeout=_TIMEOUT_S)
        try:
            connection.request("GET", "/", headers={"Accept": "text/html"})
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    try:
        return node.inside(asked)
    except (OSError, http.client.HTTPException) as error:
        raise ReasonError(Reason.IPAM_UNREACHABLE, f"{INTROSPECTION_ADDRESS} of {node.name}: {error}") from error


def server(pages: Pages, port: int) -> http.server.ThreadingHTTPServer:
    """Bound to 127.0.0.1; ``port`` 0: any free one. Raises OSError."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                status, text, kind = 200, pages.get(self.path.partition("?")[0]), "text/html"
            except ReasonError as error:
                status = 404 if error.reason is Reason.REQUEST_INVALID else 502
                text, kind = f"{error}\n{error.info.hint}\n", "text/plain"
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    return http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)

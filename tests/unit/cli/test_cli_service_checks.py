"""What the services say of themselves, and who holds their ports, as red and green."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from vpccni_cli import port_checks, service_checks
from vpccni_cli.host_checks import Finding
from vpccni_cli.port_checks import Port

_IPAM: dict[str, Any] = {
    "version": "0.1.0",
    "dependencies": [{"name": "netconf", "ok": True, "reason": "", "message": ""}],
    "growth": {"last_reason": "", "last_message": "", "waiting_adds": 0},
    "free": 3,
    "quarantined": 0,
    "pending_dels": 0,
    "bad_settings": {},
}
_NETCONF: dict[str, Any] = {"packet_filter_backend": "nftables", "packet_filter_problem": "", "bad_settings": {}}


def failed(findings: Iterator[Finding]) -> dict[str, Finding]:
    return {one.check: one for one in findings if one.ok is False}


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({}, ""),
        ({"dependencies": [{"name": "store", "ok": False, "reason": "STORE_FAILED", "message": "full"}]}, "store"),
        ({"growth": {"last_reason": "SUBNET_FULL", "last_message": "m"}}, "growth"),
        ({"quarantined": 2}, "quarantine"),
        ({"pending_dels": 5}, "queued DELs"),
        ({"bad_settings": {"X": "'a': not an integer"}}, "setting X"),
    ],
)
def test_ipam(changes: dict[str, Any], check: str) -> None:
    found = failed(service_checks.ipam({**_IPAM, **changes}))
    assert set(found) == ({check} if check else set()) and all(one.cure for one in found.values())


def test_netconf() -> None:
    assert failed(service_checks.netconf(_NETCONF)) == {}
    mixed = failed(service_checks.netconf({**_NETCONF, "packet_filter_problem": "in both"}))
    assert mixed["packet filter"].detail == "in both" and "iptables" in mixed["packet filter"].cure
    bad = failed(service_checks.netconf({**_NETCONF, "bad_settings": {"X": "'a': not an integer"}}))
    assert bad["setting X"].detail == "netconf: 'a': not an integer"


def test_versions() -> None:
    assert not failed(service_checks.versions("1", {"ipam": "1", "netconf": "1"}))
    assert "netconf 2" in failed(service_checks.versions("1", {"ipam": "1", "netconf": "2"}))["versions"].detail
    assert list(service_checks.versions("1", {})) == []


def test_ports_of_the_settings() -> None:
    ipam = {
        "VPCCNI_IPAM_METRICS_PORT": "61678",
        "VPCCNI_IPAM_HEALTH_PORT": "61680",
        "DISABLE_METRICS": "False",
        "INTROSPECTION_BIND_ADDRESS": "127.0.0.1:61679",
    }
    netconf = {"VPCCNI_NETCONF_METRICS_PORT": "61683", "VPCCNI_NETCONF_HEALTH_PORT": "0", "DISABLE_METRICS": "True"}
    found = {(port.kind, port.number) for port in port_checks.ports_of({"ipam": ipam, "netconf": netconf})}
    assert found == {("metrics", 61678), ("health", 61680), ("pages", 61679)}


class _Somebody(http.server.BaseHTTPRequestHandler):
    """A program that answers 200 to everything."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextlib.contextmanager
def somebody() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Somebody)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("kind", ["metrics", "health", "pages"])
def test_a_port_that_somebody_else_holds(kind: str) -> None:
    with somebody() as number:
        found = failed(port_checks.checks([Port("ipam", kind, "127.0.0.1", number, "SETTING")]))
    assert f"ss -ltnp sport = :{number}" in found[f"port {number}"].cure and "SETTING" in found[f"port {number}"].cure


def test_a_port_where_nobody_listens() -> None:
    found = failed(port_checks.checks([Port("ipam", "metrics", "127.0.0.1", 9, "SETTING")]))
    assert "no answer" in found["port 9"].detail

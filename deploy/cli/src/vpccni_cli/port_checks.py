"""Whether the ports of the node are held by our services, and not by somebody else who came first."""

from __future__ import annotations

import dataclasses
import http.client
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from vpccni_cli.host_checks import Finding

_TIMEOUT_S: Final = 2.0
_METRICS_MARK: Final = b"vpccni_"
_PAGES_MARK: Final = b"AvailableCommands"


@dataclasses.dataclass(frozen=True, slots=True)
class Port:
    """``kind``: metrics, health or pages. ``setting``: what moves it."""

    service: str
    kind: str
    host: str
    number: int
    setting: str


def ports_of(settings: Mapping[str, Mapping[str, str]]) -> Iterator[Port]:
    """``settings``: service -> its settings, of the services that answered."""
    for service, values in settings.items():
        prefix = f"VPCCNI_{service.replace('-', '_').upper()}"
        for kind in ("metrics", "health"):
            name = f"{prefix}_{kind.upper()}_PORT"
            off = kind == "metrics" and values.get("DISABLE_METRICS") == "True"
            if not off and int(values.get(name) or 0):
                yield Port(service, kind, "127.0.0.1", int(values[name]), name)
        address = values.get("INTROSPECTION_BIND_ADDRESS", "")
        host, colon, number = address.rpartition(":")
        if colon and number.isdigit() and values.get("DISABLE_INTROSPECTION") != "True":
            yield Port(service, "pages", host.strip("[]") or "127.0.0.1", int(number), "INTROSPECTION_BIND_ADDRESS")


def checks(ports: Iterable[Port]) -> Iterator[Finding]:
    """One finding for all that are as they should be, one for each that is not."""
    good = []
    for port in ports:
        problem = _problem(port)
        if not problem:
            good.append(port.number)
            continue
        cure = f"`ss -ltnp sport = :{port.number}` names the program: move it, or set {port.setting}; then restart the aws-node pod."
        yield Finding(f"port {port.number}", False, f"{port.kind} of {port.service}: {problem}", cure)
    if good:
        yield Finding("ports", True, ", ".join(map(str, sorted(good))))


def _problem(port: Port) -> str:
    """Empty when our service answers there."""
    try:
        if port.kind == "health":
            return "" if ask_health(port, "live") == "SERVING" else "not our health service answers"
        path, mark = ("/metrics", _METRICS_MARK) if port.kind == "metrics" else ("/", _PAGES_MARK)
        return "" if mark in get(port, path) else "somebody else answers"
    except (OSError, http.client.HTTPException) as error:
        return f"no answer ({str(error) or type(error).__name__})"


def get(port: Port, path: str) -> bytes:
    """Raises OSError and http.client.HTTPException."""
    connection = http.client.HTTPConnection(port.host, port.number, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    finally:
        connection.close()


def health(ports: Iterable[Port]) -> dict[str, dict[str, str]]:
    """Service -> health service -> what grpc.health.v1 answers."""
    return {
        port.service: {name: ask_health(port, name) for name in ("startup", "live", "ready")}
        for port in ports
        if port.kind == "health"
    }


def ask_health(port: Port, name: str) -> str:
    """grpc.health.v1 by hand: its package is no dependency of this command. SERVING, NOT_SERVING, UNKNOWN or a status."""
    import grpc

    request = b"\x0a" + bytes([len(name)]) + name.encode()  # HealthCheckRequest(service=name)
    with grpc.insecure_channel(f"{port.host}:{port.number}") as channel:
        ask = channel.unary_unary("/grpc.health.v1.Health/Check", None, None)
        try:
            answer = bytes(ask(request, timeout=_TIMEOUT_S))
        except grpc.RpcError as error:
            return str(error.code().name)
    return {b"\x08\x01": "SERVING", b"\x08\x02": "NOT_SERVING"}.get(answer, "UNKNOWN")

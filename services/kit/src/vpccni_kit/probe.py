"""Asks other processes whether they are well: the chart's helm test, and a stand-in for grpc_health_probe.

``python -m vpccni_kit.probe [--timeout S] TARGET…`` with targets ``tcp://HOST:PORT`` (a connection is accepted),
``grpc://HOST:PORT/SERVICE`` and ``unix:///PATH?SERVICE`` (grpc.health.v1 answers SERVING). Each is tried until it answers
well or the time is over. Status 1 when one did not.
"""

from __future__ import annotations

import argparse
import dataclasses
import socket
import sys
import time
import urllib.parse
from collections.abc import Sequence

_RETRY_S = 0.5


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """One thing to ask. ``address``: host:port, or ``unix:/path``; ``service`` of grpc.health.v1, None for plain TCP."""

    text: str
    address: str
    service: str | None


def parse(text: str) -> Target:
    """Raises ValueError naming the target and what is allowed."""
    url = urllib.parse.urlsplit(text)
    if url.scheme == "unix" and url.path.startswith("/"):
        return Target(text, f"unix:{url.path}", url.query)
    if url.scheme in ("tcp", "grpc") and url.hostname and url.port:
        host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
        return Target(text, f"{host}:{url.port}", None if url.scheme == "tcp" else url.path.lstrip("/"))
    raise ValueError(f"{text!r}: allowed are tcp://HOST:PORT, grpc://HOST:PORT/SERVICE and unix:///PATH?SERVICE")


def ask(target: Target, timeout: float) -> str:
    """One try of at most ``timeout`` seconds; empty when all is well, else what is wrong."""
    if target.service is None:
        host, _, port = target.address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout).close()
        except OSError as error:
            return str(error)
        return ""
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with grpc.insecure_channel(target.address) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service=target.service), timeout=timeout
            )
        except grpc.RpcError as error:
            return f"{error.code().name} {error.details()}" if isinstance(error, grpc.Call) else str(error)
    name = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    return "" if name == "SERVING" else name


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="vpccni_kit.probe", description=__doc__)
    parser.add_argument("--timeout", type=float, default=5.0, help="seconds for all targets together")
    parser.add_argument("targets", nargs="+", metavar="TARGET")
    args = parser.parse_args(argv)
    try:
        targets = [parse(text) for text in args.targets]
    except ValueError as error:
        parser.error(str(error))
    end = time.monotonic() + args.timeout
    failed = False
    for target in targets:
        problem = ask(target, max(0.1, end - time.monotonic()))
        while problem and time.monotonic() < end:
            time.sleep(_RETRY_S)
            problem = ask(target, max(0.1, end - time.monotonic()))
        sys.stdout.write(f"{target.text}: {problem or 'ok'}\n")
        failed = failed or bool(problem)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

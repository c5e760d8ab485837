"""The reference plugins behind ours in the chain, by what they do to packets: bandwidth limits a pod, tuning sets its sysctls."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import time
from pathlib import Path
from typing import Any, Final

from vpccni_lab.client import LabClient
from vpccni_lab.datapath.labs import BACKENDS
from vpccni_lab.datapath.observe import Observed
from vpccni_lab.linux import syscalls
from vpccni_lab.nodes.node import Node
from vpccni_lab.probe.reach import PORT, Endpoint
from vpccni_lab.probe.sockets import Wanted, opened
from vpccni_lab.runtime import pods as podlib
from vpccni_lab.runtime.pods import Failure, Pod, Pods

RATE: Final = 16_000_000
BURST: Final = 800_000
"""Bits per second, bits."""
_BYTES: Final = 1_500_000
_TUNING: Final = {
    "type": "tuning",
    "sysctl": {f"net.ipv6.conf.{name}.disable_ipv6": "1" for name in ("all", "default", "lo")},
}
"""What the original appends for DISABLE_POD_V6."""
_BANDWIDTH: Final = {"type": "bandwidth", "capabilities": {"bandwidth": True}}
"""What the original appends for ENABLE_BANDWIDTH_PLUGIN."""


def rows(lab: LabClient, mode: str) -> list[Observed]:
    """Two pods of one node with both plugins in the chain, one of them limited."""
    name, backend = next(iter(BACKENDS.items()))
    node = lab.node(name)
    conf = node.inside(podlib.load_conf)
    conf = dataclasses.replace(conf, plugins=(*conf.plugins, _BANDWIDTH, _TUNING))
    limits = {key: RATE if key.endswith("Rate") else BURST for key in _LIMITS}
    with Pods(node, conf) as runtime:
        wanted = [
            podlib.new_pod(name, "limited", capabilities={"bandwidth": limits}),
            podlib.new_pod(name, "unlimited"),
        ]
        outcomes = runtime.run(wanted)
        try:
            found = _rows(node, outcomes)
        finally:
            removed = runtime.remove([pod for pod in outcomes if isinstance(pod, Pod)])
    failed = [str(outcome.error) for outcome in removed if isinstance(outcome, Failure)]
    found.append(("DEL of the chain", "succeeds", failed[0] if failed else "succeeds"))
    return [Observed(mode, "chained", backend, path, want, saw, saw == want, 1) for path, want, saw in found]


_LIMITS: Final = ("ingressRate", "ingressBurst", "egressRate", "egressBurst")


def _rows(node: Node, outcomes: list[Pod | Failure]) -> list[tuple[str, str, str]]:
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    if failures:
        return [("ADD with bandwidth and tuning", "pods start", f"{failures[0].error}")]
    limited, free = (podlib.endpoint(node, pod) for pod in outcomes if isinstance(pod, Pod))
    at_least = (_BYTES * 8 - BURST) / RATE
    into, out_of, none = (_transfer(a, b) for a, b in ((free, limited), (limited, free), (free, node.endpoint)))
    slow = f"not faster than {RATE // 1_000_000} Mbit/s"
    return [
        ("bandwidth: into the limited pod", slow, _verdict(into, at_least, slow)),
        ("bandwidth: out of the limited pod", slow, _verdict(out_of, at_least, slow)),
        (
            "bandwidth: pod without a limit",
            "faster than that",
            "faster than that" if none < at_least else f"{none:.2f} s",
        ),
        ("tuning: disable_ipv6 in the pod", "1 1 1", _disabled(limited)),
    ]


def _verdict(seconds: float, at_least: float, says: str) -> str:
    # a token bucket may run a little fast, never by a tenth
    return says if seconds >= at_least * 0.9 else f"{_BYTES * 8 / seconds / 1e6:.0f} Mbit/s"


def _transfer(source: Endpoint, target: Endpoint) -> float:
    """Seconds until a fixed number of bytes has arrived over one TCP connection."""
    family = socket.AF_INET
    wanted: list[Any] = [
        Wanted(target.netns, family, socket.SOCK_STREAM, bind=(target.address, PORT + 1), listen=1),
        Wanted(source.netns, family, socket.SOCK_STREAM),
    ]
    with opened(wanted) as (listener, sender):
        for sock in (listener, sender):
            sock.settimeout(30)
        sender.connect((target.address, PORT + 1))
        receiver, _ = listener.accept()
        with receiver:
            receiver.settimeout(30)
            begin, left, chunk = time.monotonic(), _BYTES, bytes(50_000)
            sent = 0
            sender.setblocking(False)
            while left > 0:
                if sent < _BYTES:
                    with contextlib.suppress(BlockingIOError):
                        sent += sender.send(chunk[: _BYTES - sent])
                left -= len(receiver.recv(1 << 20)) if sent else 0
            return time.monotonic() - begin


def _disabled(pod: Endpoint) -> str:
    def read() -> str:
        files = (Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6") for name in ("all", "default", "lo"))
        return " ".join(file.read_text().strip() for file in files)

    return syscalls.in_netns(pod.netns, read)

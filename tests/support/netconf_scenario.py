"""What tests of a running netconf share: a client's steps, waiting for what happens in the background, its metrics."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Awaitable, Callable

from netconf_node import Client, Node, Process, eventually

BACKENDS = ["iptables-nft", "iptables-legacy", "nftables"]


def scenario(process: Process, body: Callable[[Client], Awaitable[None]]) -> None:
    async def run() -> None:
        async with process.client() as client:
            await body(client)

    asyncio.run(run())


async def until(check: Callable[[], bool], what: str) -> None:
    """As ``eventually``, without holding up the event loop."""
    await asyncio.to_thread(eventually, check, what)


def metric(node: Node, start: str) -> float:
    """Sum of the samples whose line starts so."""
    text = node.run(lambda: urllib.request.urlopen("http://127.0.0.1:61683/metrics", timeout=5).read().decode())
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(start))

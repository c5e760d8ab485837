"""``python -m vpccni_lab.daemon NAME``: started by ``vpclab up``; ends on SIGTERM and removes what it holds."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys

from vpccni_lab import spec as labspec
from vpccni_lab.daemon.control import ControlServer
from vpccni_lab.daemon.lab import Lab, save_self
from vpccni_lab.daemon.operations import Operations
from vpccni_lab.state import State


async def serve(name: str) -> None:
    """Serves the control socket until SIGTERM or SIGINT."""
    state = State(name)
    save_self(state)
    lab = Lab(labspec.from_dict(json.loads(state.spec.read_text())), state)
    control = ControlServer(state.control, Operations(lab).table())
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    try:
        await control.start()
        await ended.wait()
    finally:
        await control.close()
        await lab.close()


def main() -> None:
    """Entry point; argument: the lab's name."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    asyncio.run(serve(sys.argv[1]))


if __name__ == "__main__":
    main()

"""Composition root: ``python -m vpccni_eni_manager``."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from typing import Final

import grpc
from vpccni_api.eni.v1 import eni_pb2_grpc
from vpccni_api.version import VERSION
from vpccni_kit import lifecycle, logs, settings, telemetry
from vpccni_kit.lifecycle import Lifecycle
from vpccni_kit.metrics import Metrics
from vpccni_kit.server import CallInterceptor, Server

from vpccni_eni_manager import settings as own
from vpccni_eni_manager.adapters.ec2_client import provide_model
from vpccni_eni_manager.app import App, build
from vpccni_eni_manager.policy import Policy
from vpccni_eni_manager.server import REFUSED_WHILE_DRAINING, EniManager

SERVICE: Final = "eni-manager"
log = logging.getLogger(SERVICE)
_DRAIN_S: Final = 4.0


def _report(values: settings.Values, refused: tuple[str, ...], metrics: Metrics) -> dict[str, str]:
    """Says which settings were not usable, and returns them: name -> what is wrong. ipam makes events of them."""
    problems = {bad.name: str(bad) for bad in values.bad}
    if refused:
        name = own.ADDITIONAL_ENI_TAGS.name
        problems[name] = f"{name}: reserved keys are left out: {', '.join(refused)}"
    for name, text in problems.items():
        log.warning("setting: %s", text, extra={"reason": "CONFIG_INVALID", "setting": name})
        metrics.bad_settings.labels(name).inc()
    return problems


def _run_in_background(life: Lifecycle, app: App, policy: Policy, state: str) -> None:
    if not policy.imds_only:
        # An image, or a development environment, keeps the model beside its packages; else it is made per node.
        models = (os.path.join(sys.prefix, "share/vpccni/ec2-model"), os.path.join(state, "ec2-model"))
        life.spawn(provide_model(app.transport, models), "EC2 model")
    if policy.provisioning:
        life.spawn(app.repair.run(), "journal repair")
    life.spawn(app.watch.run(), "inventory watch")
    if policy.leaked_eni_cleanup:
        life.spawn(app.sweep.run(), "leaked-ENI sweep")


async def start(life: Lifecycle) -> None:
    """Serves. EC2 need not answer, nor IMDS: the health service says so."""
    values = settings.read(own.ALL, os.environ)
    logs.setup(SERVICE, values[own.LOG_LEVEL], values[own.LOG_FILE], values[own.MY_NODE_NAME])
    telemetry.setup(SERVICE, {"service.version": VERSION, "k8s.node.name": values[own.MY_NODE_NAME]})
    metrics = Metrics(SERVICE)
    policy, refused = own.policy_of(values)
    bad_settings = _report(values, refused, metrics)
    app = build(values, os.environ, policy, metrics)
    metrics.watch_health(app.health.board)
    servicer = EniManager(
        app.describe,
        app.inventories,
        app.ensure,
        app.release,
        app.inspect,
        app.check_access,
        app.clock,
        bad_settings,
    )
    server = Server(CallInterceptor(SERVICE, metrics, REFUSED_WHILE_DRAINING), app.health.board)

    def register(grpc_server: grpc.aio.Server) -> None:
        eni_pb2_grpc.add_EniManagerServicer_to_server(servicer, grpc_server)

    async def drain() -> None:
        app.inventories.close()
        await server.drain(_DRAIN_S)
        # What is not finished by then is in the journal.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(app.ensure.drained(), app.release.drained()), _DRAIN_S)
        app.close()

    await app.health.ec2(None)
    await server.start(values[own.SOCKET], register, values[own.HEALTH_PORT])
    if not values[own.DISABLE_METRICS]:
        metrics.serve(values[own.METRICS_PORT])
    life.on_drain(drain)
    _run_in_background(life, app, policy, values[own.STATE])
    await app.health.board.started()
    log.info("serving on %s", values[own.SOCKET])


if __name__ == "__main__":
    status = lifecycle.main(SERVICE, start)
    logging.shutdown()
    # Not sys.exit: that would wait for threads, and one may hang in a call to EC2 for as long as its HTTP timeout.
    os._exit(status)

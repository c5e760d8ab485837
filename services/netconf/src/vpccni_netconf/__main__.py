"""Composition root: `python -m vpccni_netconf`."""

from __future__ import annotations

import logging
import os
import resource
import sys
from typing import Final

from vpccni_api.netconf.v1 import netconf_pb2_grpc
from vpccni_api.version import VERSION
from vpccni_kit import lifecycle, logs, telemetry
from vpccni_kit import settings as kit_settings
from vpccni_kit.health import HealthBoard
from vpccni_kit.metrics import Metrics
from vpccni_kit.server import CallInterceptor, Server

from vpccni_netconf import settings
from vpccni_netconf.adapters import sysctl
from vpccni_netconf.adapters.events import RtnlEvents
from vpccni_netconf.adapters.kernel import LinuxKernel
from vpccni_netconf.adapters.leftovers import Leftovers
from vpccni_netconf.adapters.netns_names import NetnsNames
from vpccni_netconf.adapters.packet_filter import HostPacketFilter
from vpccni_netconf.adapters.pod_events import PodEvents
from vpccni_netconf.adapters.sysctl_watch import SysctlFiles
from vpccni_netconf.repair_loop import Watcher
from vpccni_netconf.server import NetconfServicer
from vpccni_netconf.service import Service
from vpccni_netconf.watch_inside import InsideWatcher
from vpccni_netconf.worker import Worker

log = logging.getLogger("vpccni_netconf")
_DRAIN_S: Final = 5.0


def _open_files_limit() -> None:
    """A socket and a few open sysctls for each pod: the usual soft limit of 1024 would do for 250 pods only."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def start(life: lifecycle.Lifecycle) -> None:
    values = kit_settings.read(settings.ALL, os.environ)
    node = values[settings.MY_NODE_NAME]
    logs.setup("netconf", values[settings.LOG_LEVEL], values[settings.LOG_FILE], node)
    sysctl.use(values[settings.SYSCTL_DIR])
    _open_files_limit()
    metrics = Metrics("netconf")
    bad_settings = {bad.name: str(bad) for bad in values.bad}
    for name, text in bad_settings.items():
        log.warning("setting: %s", text, extra={"reason": "CONFIG_INVALID", "setting": name})
        metrics.bad_settings.labels(name).inc()
    telemetry.setup("netconf", {"service.version": VERSION, "k8s.node.name": node})
    health = HealthBoard(required=("datapath",))
    metrics.watch_health(health)
    slow_thread = Worker("slow")
    kernel, leftovers, packet_filter = LinuxKernel(), Leftovers(), HostPacketFilter()
    service = Service(kernel, packet_filter, leftovers, slow_thread, health, metrics, values[settings.PACKET_FILTER])
    ports = (kernel.port, leftovers.port)
    interval = values[settings.REPAIR_INTERVAL]
    watcher = Watcher(service, interval, lambda watched: RtnlEvents(ports, watched), SysctlFiles())
    inside = InsideWatcher(service, watcher, PodEvents(), NetnsNames())
    watcher.look_into, service.leave_pod = inside.look_into, inside.leave
    service.look_again = watcher.look_again
    servicer = NetconfServicer(service, values.as_text(), bad_settings)
    server = Server(CallInterceptor("netconf", metrics), health)

    async def drain() -> None:
        service.drift.close()
        await server.drain(_DRAIN_S)
        service.kernel_thread.close()
        slow_thread.close()
        leftovers.close()
        packet_filter.close()
        kernel.close()

    life.on_drain(drain)
    if not values[settings.DISABLE_METRICS]:
        metrics.serve(values[settings.METRICS_PORT])
    socket_path = values[settings.SOCKET]
    await server.start(
        socket_path,
        lambda made: netconf_pb2_grpc.add_NetconfServicer_to_server(servicer, made),
        values[settings.HEALTH_PORT],
        directory_mode=0o700,
    )
    life.spawn(watcher.watch_kernel(), "watch-kernel")
    life.spawn(watcher.watch_filter(), "watch-filter")
    life.spawn(watcher.watch_sysctls(), "watch-sysctls")
    life.spawn(inside.run(), "watch-pods")
    await health.started()
    log.info("netconf %s serves on %s", VERSION, socket_path)


if __name__ == "__main__":
    sys.exit(lifecycle.main("netconf", start))

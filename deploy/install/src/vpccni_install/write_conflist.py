"""Use case ``conflist``: waits until ipam has a usable address, then writes the conflist: the node becomes Ready by it."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from vpccni_kit import probe
from vpccni_kit.settings import Values, read

from vpccni_install import files, settings, startup_taint
from vpccni_install.domain import conflist

log = logging.getLogger(__name__)
_POLL_S: Final = 0.2
_TELL_EVERY_S: Final = 30.0
_RETRY_S: Final = 5.0


def run(environ: Mapping[str, str]) -> None:
    """Waits without limit (kubelet's startup probe has one), and tries again for as long as the directory refuses."""
    values = read(settings.ALL, environ)
    for bad in values.bad:
        log.warning("%s", bad)
    wait_ready(values[settings.HEALTH_PORT])
    path = Path(values[settings.CONF_DIR]) / conflist.FILE_NAME
    while True:
        try:
            changed = files.replace(path, text(values))
            break
        except (OSError, ValueError) as error:
            log.error("%s: %s; trying again in %g s", path, error, _RETRY_S)
            time.sleep(_RETRY_S)
    log.info("%s %s", path, "written" if changed else "is current")
    if values[settings.STARTUP_TAINT]:
        startup_taint.remove(values[settings.NODE_NAME], values[settings.STARTUP_TAINT])


def wait_ready(port: int) -> None:
    """Until ipam's health service says ``ready``: leaves reachable, host state applied, an address to give."""
    began = told = time.monotonic()
    target = probe.parse(f"grpc://127.0.0.1:{port}/ready")
    while True:
        problem = "" if _listens(port) else "not listening yet"
        problem = problem or probe.ask(target, 2.0)
        if not problem:
            return
        if time.monotonic() - told > _TELL_EVERY_S:
            told = time.monotonic()
            log.warning("no conflist yet: ipam is not ready after %d s: %s", told - began, problem)
        time.sleep(_POLL_S)


def text(values: Values) -> str:
    """The operator's own conflist, or the generated one. Raises ValueError when the own one is not a network list."""
    own = Path(values[settings.OWN_CONFLIST])
    if own.is_file():
        given = own.read_text()
        try:
            whole = json.loads(given)
        except ValueError as error:
            raise ValueError(f"{own} is not JSON: {error}") from error
        if not isinstance(whole, dict) or not whole.get("name") or not isinstance(whole.get("plugins"), list):
            raise ValueError(f"{own} is not a network list: it needs name and plugins")
        return given
    return conflist.render(wanted(values))


def wanted(values: Values) -> conflist.Conflist:
    """An MTU that the address family does not allow is reported and replaced by the family's smallest."""
    low = settings.MIN_MTU_IPV6 if values[settings.IPV6] else settings.MIN_MTU
    mtu = values[settings.POD_MTU] or values[settings.ENI_MTU]
    if mtu < low:
        log.warning("POD_MTU=%d: allowed with IPv6: %d to %d; using %d", mtu, low, settings.MAX_MTU, low)
    return conflist.Conflist(
        cni_version=values[settings.CNI_VERSION],
        mtu=max(mtu, low),
        veth_prefix=values[settings.VETH_PREFIX],
        enforcing_mode=values[settings.ENFORCING_MODE],
        log_file=values[settings.PLUGIN_LOG_FILE],
        log_level=values[settings.PLUGIN_LOG_LEVEL],
        ipam_wait=values[settings.IPAM_WAIT],
        bandwidth=values[settings.BANDWIDTH],
        no_pod_ipv6=values[settings.NO_POD_IPV6],
    )


def _listens(port: int) -> bool:
    """Cheaper than a gRPC call: grpc is only imported when there is somebody to ask."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
        client.settimeout(1.0)
        return client.connect_ex(("127.0.0.1", port)) == 0

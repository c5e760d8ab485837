"""Use case ``init``: the node's sysctls, and the plugins onto the host."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from vpccni_api.reasons import Reason, ReasonError
from vpccni_kit.settings import Values, read

from vpccni_install import files, settings
from vpccni_install.domain import sysctls
from vpccni_install.imds import Imds

log = logging.getLogger(__name__)


def run(environ: Mapping[str, str]) -> None:
    """Raises ReasonError: KERNEL_REFUSED (a required sysctl), STORE_FAILED (a copy), IMDS_UNREACHABLE."""
    values = read(settings.ALL, environ)
    for bad in values.bad:
        log.warning("%s", bad)
    copy_plugins(Path(values[settings.PLUGIN_DIR]), Path(values[settings.BIN_DIR]))
    write_sysctls(values, primary_link(Imds(values[settings.IMDS])))


def copy_plugins(source: Path, target: Path) -> None:
    """Every program of the image to the host; aws-cni last, so that what it may call is there before it."""
    programs = sorted(
        (path for path in source.iterdir() if path.is_file()), key=lambda p: (p.name == "aws-cni", p.name)
    )
    if not any(path.name == "aws-cni" for path in programs):
        raise ReasonError(Reason.STORE_FAILED, f"{source} has no aws-cni: not an init image")
    try:
        target.mkdir(parents=True, exist_ok=True)
        files.sweep(target)
        changed = [path.name for path in programs if files.install(path, target)]
    except OSError as error:
        raise ReasonError(Reason.STORE_FAILED, f"plugins to {target}: {error}") from error
    log.info("plugins in %s: %d copied, %d were current", target, len(changed), len(programs) - len(changed))


def primary_link(imds: Imds, links: Path = Path("/sys/class/net")) -> str:
    """Name of the link that has the instance's MAC. Raises ReasonError."""
    mac = imds.get("mac")
    for link in sorted(links.iterdir()):
        address = link / "address"
        if mac and address.exists() and address.read_text().strip().lower() == mac.lower():
            return link.name
    raise ReasonError(Reason.KERNEL_REFUSED, f"no link has the instance's MAC {mac}")


def write_sysctls(values: Values, primary: str) -> None:
    """Raises ReasonError(KERNEL_REFUSED) naming the sysctl that could not be written."""
    mounted = Path(values[settings.SYSCTL_DIR])
    # A runtime mounts /proc/sys read-only for a container that is not privileged; the chart mounts the host's beside it.
    root = mounted if mounted.is_dir() else Path("/proc/sys/net")
    wanted = sysctls.for_node(
        primary,
        no_early_demux=values[settings.NO_EARLY_DEMUX],
        ipv6=values[settings.IPV6],
        v6_egress=values[settings.V6_EGRESS],
    )
    for sysctl in wanted:
        path = root / sysctl.path
        if not sysctl.required and not path.exists():
            continue
        try:
            if path.read_text().strip() != sysctl.value:
                path.write_text(sysctl.value)
        except OSError as error:
            raise ReasonError(
                Reason.KERNEL_REFUSED, f"sysctl {path} = {sysctl.value}: {os.strerror(error.errno or 0)}"
            ) from error
        log.info("net.%s = %s", sysctl.path.replace("/", "."), sysctl.value)

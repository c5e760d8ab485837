"""``vpccni bundle``: a support archive of this node, gathered from its services; secrets masked."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import http.client
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

from vpccni_cli import node, port_checks, service, text
from vpccni_cli.archive import Archive
from vpccni_cli.commands import doctor, status, verify
from vpccni_cli.errors import UsageError

_LOG_TAIL: Final = 2 * 1024 * 1024
_LOG_SETTINGS: Final = (
    "AWS_VPC_K8S_CNI_LOG_FILE",
    "AWS_VPC_K8S_PLUGIN_LOG_FILE",
    "VPCCNI_NETCONF_LOG_FILE",
    "VPCCNI_ENI_MANAGER_LOG_FILE",
)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Holds: Inspect of every service, instance, inventory, settings, health, metrics, doctor, verify, the last ADDs, CNI"
        " configuration, the end of log files. Exit status: 0; 1 when something could not be had (manifest.json says what)."
    )
    parser.add_argument(
        "-f", "--file", default="", help="where to write it; - for standard output (default: a new name)"
    )
    doctor.configure(parser)


def run(args: argparse.Namespace) -> int:
    name = f"vpccni-{service.node_name()}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    path = args.file or f"{name}.tar.gz"
    if path == "-" and sys.stdout.isatty():
        raise UsageError("standard output is a terminal; allowed: --file NAME, or a pipe")
    with _opened(path) as out:
        manifest = _gather(args, Archive(out, name))
    if path != "-":
        text.emit(args, {"file": path, **manifest}, _shown(path, manifest))
    return 1 if manifest["missing"] else 0


@contextlib.contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    if path == "-":
        yield sys.stdout.buffer
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise UsageError(f"--file {path!r}: {error.strerror}; allowed: a name that does not exist yet") from error
    with os.fdopen(descriptor, "wb") as out:
        yield out


def _gather(args: argparse.Namespace, archive: Archive) -> dict[str, Any]:
    told = {
        "ipam": archive.value("ipam.json", lambda: _ipam(args)),
        "netconf": archive.value("netconf.json", lambda: _netconf(args)),
        "eni-manager": archive.value("eni-manager.json", lambda: _eni_manager(args, service.EniManager.inspect)),
    }
    archive.value("instance.json", lambda: _eni_manager(args, service.EniManager.describe))
    archive.value("inventory.json", lambda: _eni_manager(args, service.EniManager.inventory))
    pool = told["ipam"]
    if pool is not None:
        archive.text("status.txt", lambda: "\n".join(status.lines(pool)) + "\n")
        archive.value("verify.json", lambda: verify.differences(args))
    archive.value("doctor.json", lambda: [dataclasses.asdict(one) for one in doctor.findings(args)])
    settings = {name: found["settings"] for name, found in told.items() if found is not None}
    for port in port_checks.ports_of(settings):
        if port.kind == "metrics":
            archive.text(f"metrics-{port.service}.txt", functools.partial(_metrics, port))
    archive.value("health.json", lambda: port_checks.health(port_checks.ports_of(settings)))
    _files(args.root, settings, archive)
    return archive.close(node=service.node_name())


def _files(root: Path, settings: dict[str, dict[str, str]], archive: Archive) -> None:
    folder = root / "etc/cni/net.d"
    for path in sorted(folder.glob("*.conf*")) if folder.is_dir() else ():
        archive.text(f"cni/{path.name}", functools.partial(path.read_text, "utf-8", "replace"))
    named = {
        Path(values[name])
        for values in settings.values()
        for name in _LOG_SETTINGS
        if values.get(name, "").startswith("/")
    }
    for path in sorted(named | _plugin_logs(root, folder)):
        if path.exists():
            archive.text(f"logs/{path.name}", functools.partial(_tail, path))


def _plugin_logs(root: Path, folder: Path) -> set[Path]:
    """Where the network configuration sends the plugin's log."""
    found = set()
    for path in folder.glob("*aws*.conflist") if folder.is_dir() else ():
        try:
            plugins = json.loads(path.read_text(encoding="utf-8"))["plugins"]
            names = [str(one.get("pluginLogFile", "")) for one in plugins]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # the file itself is in the archive, as it is
        found |= {root / name.lstrip("/") for name in names if name.startswith("/")}
    return found


def _tail(path: Path) -> str:
    with path.open("rb") as log:
        log.seek(max(0, os.fstat(log.fileno()).st_size - _LOG_TAIL))
        return log.read().decode(errors="replace")


def _metrics(port: port_checks.Port) -> str:
    try:
        return port_checks.get(port, "/metrics").decode(errors="replace")
    except http.client.HTTPException as error:
        raise ValueError(f"port {port.number}: {error}") from error


def _ipam(args: argparse.Namespace) -> dict[str, Any]:
    with node.Node(args.socket, args.timeout) as asked:
        return asked.inspect()


def _netconf(args: argparse.Namespace) -> dict[str, Any]:
    with service.Netconf(args.netconf_socket, args.timeout) as asked:
        return asked.inspect()


def _eni_manager(args: argparse.Namespace, ask: Callable[[service.EniManager], dict[str, Any]]) -> dict[str, Any]:
    with service.EniManager(args.eni_manager_socket, args.timeout) as asked:
        return ask(asked)


def _shown(path: str, manifest: dict[str, Any]) -> list[str]:
    lines = text.field("bundle", f"{path}: {len(manifest['files'])} files, secrets masked")
    for name, why in manifest["missing"].items():
        lines += text.field("  missing", f"{name}: {why}")
    return lines

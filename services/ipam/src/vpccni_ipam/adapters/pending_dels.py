"""The DEL queue: a directory with one DelPodRequest (protobuf's JSON mapping) per file, written by the plugin when ipam was
away, and by ipam when netconf was."""

from __future__ import annotations

import contextlib
import logging
import os
import time
import urllib.parse
from typing import Final

from vpccni_api.ipam.v1 import ipam_pb2 as pb
from vpccni_api.reasons import Reason, ReasonError

from vpccni_ipam.convert import to_pod_call
from vpccni_ipam.domain.model import PodKey
from vpccni_ipam.ports import PendingDel, PodCall

log = logging.getLogger(__name__)
MAX_AGE_S: Final = 7 * 24 * 3600.0
_MAX_BYTES: Final = 1 << 20


class PendingDelDirectory:
    """ports.PendingDels."""

    def __init__(self, path: str, veth_prefix: str) -> None:
        self._path = path
        self._veth_prefix = veth_prefix
        self._seen_mtime = 0

    def changed(self) -> bool:
        """True once after something was put into the directory (by anyone). Cheap: one stat."""
        try:
            mtime = os.stat(self._path).st_mtime_ns
        except OSError:
            return False
        different, self._seen_mtime = mtime != self._seen_mtime, mtime
        return different

    def put(self, call: PodCall) -> None:
        """Raises ReasonError(STORE_FAILED)."""
        from google.protobuf import json_format

        key = call.key
        request = pb.DelPodRequest(
            key=pb.PodInterface(network_name=key.network_name, container_id=key.container_id, ifname=key.ifname),
            pod=pb.PodIdentity(namespace=call.pod.namespace, name=call.pod.name, uid=call.pod.uid),
            netns=call.netns,
            conf=pb.PodNetConf(veth_prefix=call.veth_prefix),
        )
        if call.kept is not None:
            request.prev_result.interfaces.extend(
                pb.ResultInterface(name=i.name, mac=i.mac, sandbox=i.sandbox) for i in call.kept.interfaces
            )
            request.prev_result.ips.extend(
                pb.ResultIp(address=i.address, gateway=i.gateway, interface=i.interface) for i in call.kept.ips
            )
        name = _name(key)
        temporary = os.path.join(self._path, "." + name)
        try:
            os.makedirs(self._path, mode=0o700, exist_ok=True)
            with open(temporary, "w", encoding="utf-8") as file:
                file.write(json_format.MessageToJson(request))
                file.flush()
                os.fsync(file.fileno())
            os.rename(temporary, os.path.join(self._path, name))
        except OSError as error:
            raise ReasonError(Reason.STORE_FAILED, f"{self._path}: {error.strerror}") from error

    def count(self) -> int:
        """DELs that wait in the directory."""
        try:
            return sum(name.endswith(".json") and not name.startswith(".") for name in os.listdir(self._path))
        except OSError:
            return 0

    def entries(self) -> list[PendingDel]:
        """Oldest first. What cannot be read is set aside under a hidden name; what is too old is dropped; both are logged."""
        found: list[tuple[float, PendingDel]] = []
        try:
            names = [name for name in os.listdir(self._path) if name.endswith(".json") and not name.startswith(".")]
        except OSError:
            return []
        for name in names:
            path = os.path.join(self._path, name)
            try:
                written = os.stat(path).st_mtime
                if time.time() - written > MAX_AGE_S:
                    log.error("queued DEL %s is older than %d days and is dropped", name, MAX_AGE_S // 86400)
                    os.unlink(path)
                    continue
                found.append((written, PendingDel(self._read(path), name)))
            except (OSError, ValueError, ReasonError) as error:
                log.error("queued DEL %s cannot be read and is set aside: %s", name, error)
                with contextlib.suppress(OSError):
                    os.rename(path, os.path.join(self._path, f".bad-{name}"))
        return [item for _, item in sorted(found, key=lambda pair: pair[0])]

    def _read(self, path: str) -> PodCall:
        from google.protobuf import json_format

        with open(path, encoding="utf-8") as file:
            text = file.read(_MAX_BYTES)
        try:
            request = json_format.Parse(text, pb.DelPodRequest(), ignore_unknown_fields=True)
        except json_format.ParseError as error:
            raise ValueError(str(error)) from None
        return to_pod_call(request, self._veth_prefix)

    def done(self, item: PendingDel) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self._path, item.name))

    def holds(self, item: PendingDel) -> bool:
        """Whether it still waits."""
        return os.path.exists(os.path.join(self._path, item.name))

    def forget(self, key: PodKey) -> None:
        """The pod interface's queued DEL, if there is one, is not carried out any more."""
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(self._path, _name(key)))


def _name(key: PodKey) -> str:
    """As the plugin names them (vpccni_plugin.del_queue)."""
    return urllib.parse.quote(f"{key.container_id}-{key.ifname}", safe="").replace("~", "%7E") + ".json"

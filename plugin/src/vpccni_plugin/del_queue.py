"""DELs that ipam could not be told: one file each, which ipam replays before it serves its first ADD.

A file holds vpccni.ipam.v1.DelPodRequest in protobuf's JSON mapping. Names that start with a dot are unfinished.
"""

from __future__ import annotations

import posix

from vpccni_plugin.errors import PluginError
from vpccni_plugin.jsonlite import dumps
from vpccni_plugin.messages import DEL_POD_REQUEST
from vpccni_plugin.protowire import to_json_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vpccni_plugin.protowire import Message

MAX_FILES = 1000
_PLAIN = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"


def file_name(container_id: str, ifname: str) -> str:
    """<containerID>-<ifname>.json; other bytes than letters, digits, '.', '_', '-' are written as %XX."""
    return "".join([char if char in _PLAIN else _escape(char) for char in f"{container_id}-{ifname}"]) + ".json"


def _escape(char: str) -> str:
    return "".join([f"%{byte:02X}" for byte in char.encode()])


def enqueue(directory: str, request: Message) -> str:
    """Writes the DelPodRequest durably; the same pod interface again replaces its file. Returns the file's path.

    Raises PluginError (IPAM_UNREACHABLE, so that the runtime retries) when it cannot be written or the queue is full.
    """
    key = request["key"]
    name = file_name(key["container_id"], key["ifname"]).encode()
    folder = directory.encode()
    try:
        _make_directory(folder)
        waiting = [entry for entry in posix.listdir(folder) if not entry.startswith(b".")]
        if len(waiting) >= MAX_FILES and name not in waiting:
            raise _failed(f"{directory} holds {len(waiting)} files; allowed: {MAX_FILES}")
        _write(folder, name, dumps(to_json_names(DEL_POD_REQUEST, request)).encode())
    except OSError as exc:
        raise _failed(f"{directory}: {exc.strerror or exc}") from None
    return f"{directory}/{name.decode()}"


def _failed(what: str) -> PluginError:
    return PluginError("IPAM_UNREACHABLE", f"and the DEL could not be queued: {what}")


def _make_directory(folder: bytes) -> None:
    try:
        posix.mkdir(folder, 0o700)
    except FileExistsError:
        return
    except FileNotFoundError:
        posix.mkdir(folder.rstrip(b"/").rpartition(b"/")[0], 0o755)
        posix.mkdir(folder, 0o700)


def _write(folder: bytes, name: bytes, data: bytes) -> None:
    temporary = folder + b"/." + name + b".%d" % posix.getpid()
    fd = posix.open(temporary, posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_CLOEXEC, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[posix.write(fd, view) :]
        posix.fsync(fd)
        posix.close(fd)
        posix.rename(temporary, folder + b"/" + name)
    except OSError:
        posix.unlink(temporary)
        raise

"""The plugin's log: JSON lines with the services' field names, written after the answer. What cannot be written is dropped;
a call never waits for it."""

from __future__ import annotations

import posix

from vpccni_plugin.jsonlite import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vpccni_plugin.jsonlite import Json

LEVELS = ("DEBUG", "INFO", "WARN", "ERROR", "FATAL")
_KEPT_FILES = 5
_MAX_FILE = 100 << 20  # bytes, as the original's
_MAX_OUTPUT = 32 << 10  # bytes of one call


class Log:
    """Lines of one call. Set ``path`` ("stderr" or "" for stderr) and ``level`` as soon as they are known."""

    def __init__(self) -> None:
        self.path = "stderr"
        self.level = "DEBUG"
        self.fields: dict[str, Json] = {}
        self._lines: list[tuple[str, int, str, dict[str, Json]]] = []

    def add(self, level: str, unix_ns: int, message: str, fields: dict[str, Json]) -> None:
        """One event; ``self.fields`` as they are at ``flush`` go into every line."""
        self._lines.append((level, unix_ns, message, fields))

    def flush(self) -> None:
        """Writes the lines of the asked level and above."""
        level = self.level.upper()
        least = LEVELS.index(level) if level in LEVELS else 0
        out = bytearray()
        for name, unix_ns, message, fields in self._lines:
            if LEVELS.index(name) >= least:
                line: dict[str, Json] = {"time": rfc3339(unix_ns), "level": name.lower(), "service": "aws-cni"}
                line["node"] = posix.uname().nodename
                line["msg"] = message
                line.update(self.fields)
                line.update(fields)
                out += dumps(line).encode("utf-8", "replace") + b"\n"
        self._lines = []
        if out:
            _append(self.path, bytes(out[:_MAX_OUTPUT]))


def rfc3339(unix_ns: int) -> str:
    """UTC with milliseconds."""
    days, second = divmod(unix_ns // 1_000_000_000, 86400)
    # Days since 1970 to a civil date, counted in 400-year cycles from 0000-03-01.
    days += 719468
    era, day_of_era = divmod(days, 146097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted_month = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * shifted_month + 2) // 5 + 1
    month = shifted_month + 3 if shifted_month < 10 else shifted_month - 9
    year = year_of_era + era * 400 + (month <= 2)
    millisecond = unix_ns // 1_000_000 % 1000
    hour, minute = second // 3600, second // 60 % 60
    return f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second % 60:02d}.{millisecond:03d}Z"


def _append(path: str, data: bytes) -> None:
    to_stderr = path in ("", "stderr")
    # A pipe that nobody reads must not block us, and making fd 2 itself non-blocking would change it for its other
    # holders too: open it anew. Without /proc the log goes to fd 2 as it is.
    target = b"/proc/self/fd/2" if to_stderr else path.encode()
    fd = 2 if to_stderr and not _is_pipe(2) else _open(target)
    if fd < 0:
        if not to_stderr:
            return
        fd = 2
    try:
        if fd != 2 and not to_stderr and posix.lseek(fd, 0, 2) > _MAX_FILE:
            fd = _rotate(target, fd)
        if fd >= 0:
            posix.write(fd, data)
    except OSError:
        return  # full disk, a pipe without a reader: the log is not worth the call


def _is_pipe(fd: int) -> bool:
    try:
        return posix.fstat(fd)[0] & 0o170000 == 0o010000
    except OSError:
        return False


def _open(path: bytes) -> int:
    """A descriptor to append to, or -1. Makes the file's own directory, not its parents."""
    flags = posix.O_WRONLY | posix.O_APPEND | posix.O_CREAT | posix.O_CLOEXEC | posix.O_NONBLOCK
    try:
        return posix.open(path, flags, 0o644)
    except FileNotFoundError:
        pass
    except OSError:
        return -1
    try:
        posix.mkdir(path.rpartition(b"/")[0], 0o755)
        return posix.open(path, flags, 0o644)
    except OSError:
        return -1


def _rotate(path: bytes, fd: int) -> int:
    """path -> path.1 -> … -> path.5; the descriptor to write to. ``fd``: the full file.

    Of many plugins that find the file full, the one that gets its lock rotates. The others write to what they have open, or to
    the new file when it is there by then: a second rotation would push a file of history out.
    """
    try:
        posix.lockf(fd, posix.F_TLOCK, 0)  # let go by close, and at the process's end
        ours, there = posix.fstat(fd), posix.stat(path)
        first = (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)
    except OSError:
        return fd
    for number in range(_KEPT_FILES, 0, -1) if first else ():
        older = path + b".%d" % number
        newer = path + b".%d" % (number - 1) if number > 1 else path
        try:
            posix.rename(newer, older)
        except OSError:
            continue  # not there yet
    fresh = _open(path)
    posix.close(fd)
    return fresh

"""Lets this kernel run programs of another architecture for a while: qemu's user emulation, from Debian's package, unpacked."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

# Debian's name of an architecture -> the kernel's, and e_machine of its ELF files (elf(5)).
MACHINES: Final = {"amd64": ("x86_64", 62), "arm64": ("aarch64", 183)}
_MNT_DETACH: Final = 2
_PACKAGE: Final = "qemu-user-static"


def native() -> str:
    """This machine's architecture, by Debian's name. Raises KeyError for one that is not in MACHINES."""
    return {kernel: debian for debian, (kernel, _) in MACHINES.items()}[platform.machine()]


@contextlib.contextmanager
def emulated(arch: str, cache: Path) -> Iterator[None]:
    """For the machine's own architecture, or where a handler is registered already: nothing. Needs root and binfmt_misc;
    raises OSError without. What is registered is gone with the mount at the end."""
    if arch == native() or Path(f"/proc/sys/fs/binfmt_misc/qemu-{MACHINES[arch][0]}").exists():
        yield
        return
    interpreter = _interpreter(arch, cache)
    libc = ctypes.CDLL(None, use_errno=True)
    with tempfile.TemporaryDirectory(prefix="vpccni-binfmt-") as place:
        if libc.mount(b"binfmt_misc", place.encode(), b"binfmt_misc", 0, None):
            raise OSError(ctypes.get_errno(), "mount binfmt_misc")
        try:
            # F: the interpreter is opened now, so that it need not be in the images.
            Path(place, "register").write_bytes(_pattern(arch) + os.fsencode(interpreter) + b":F")
            yield
        finally:
            libc.umount2(place.encode(), _MNT_DETACH)


def _pattern(arch: str) -> bytes:
    """ELF, 64 bits, little endian, executable or shared, of the machine; the OS/ABI byte does not matter."""
    machine = MACHINES[arch][1]
    magic = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00" + machine.to_bytes(2, "little")
    mask = b"\xff" * 7 + b"\x00" + b"\xff" * 8 + b"\xfe\xff\xff\xff"
    return b":".join((b"", f"vpccni-{arch}".encode(), b"M", b"", _escaped(magic), _escaped(mask), b""))


def _escaped(raw: bytes) -> bytes:
    return b"".join(b"\\x%02x" % byte for byte in raw)


def _interpreter(arch: str, cache: Path) -> Path:
    """qemu's program, unpacked below ``cache`` once. Raises subprocess.CalledProcessError."""
    root = cache / "debian" / _PACKAGE
    program = root / f"usr/bin/qemu-{MACHINES[arch][0]}-static"
    if not program.exists():
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="vpccni-qemu-") as scratch:
            script = f"apt-get download -q {_PACKAGE} && dpkg-deb -x *.deb {root}"
            subprocess.run(["sh", "-c", script], cwd=scratch, check=True, capture_output=True)
    return program

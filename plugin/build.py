"""Builds build/aws-cni: the plugin's Python code and CPython in one static ELF file (docs/plugin.md).

Run: python plugin/build.py [--force]. Nothing is done when no input changed. Needs gcc and libpython3.11.a
(Debian: libpython3.11-dev); the code is compiled by the python3.11 that the library belongs to.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

PLUGIN: Final = Path(__file__).resolve().parent
SOURCES: Final = PLUGIN / "src" / "vpccni_plugin"
NATIVE: Final = PLUGIN / "native"
REPOSITORY: Final = PLUGIN.parent
OUTPUT: Final = REPOSITORY / "build" / "aws-cni"
WORK: Final = REPOSITORY / "build" / "plugin"

PYTHON: Final = "/usr/bin/python3.11"
INCLUDE: Final = Path("/usr/include/python3.11")
MAX_BYTES: Final = 12_000_000

COMPILE_FLAGS: Final = ("-O2", "-std=c11", "-Wall", "-Wextra", "-Werror", "-fno-builtin-malloc")
LINK_FLAGS: Final = ("-static", "-no-pie", "-Wl,--gc-sections", "-Wl,--build-id=none", "-Wl,-z,norelro")


class BuildError(Exception):
    """The binary cannot be built here; the message says what is missing."""


def find_library() -> Path:
    """libpython3.11.a of the system. Raises BuildError."""
    for config in sorted(Path("/usr/lib/python3.11").glob("config-3.11-*/libpython3.11.a")):
        return config
    raise BuildError("libpython3.11.a is missing: install libpython3.11-dev")


def missing() -> str:
    """What this machine lacks for a build; empty when nothing."""
    try:
        find_library()
    except BuildError as exc:
        return str(exc)
    if shutil.which("gcc") is None:
        return "gcc is missing"
    if not Path(PYTHON).exists():
        return f"{PYTHON} is missing"
    return ""


def fingerprint(library: Path) -> str:
    """Changes when any input of the build does."""
    digest = hashlib.sha256()
    for path in sorted([*SOURCES.glob("*.py"), *NATIVE.iterdir(), *PLUGIN.glob("*.py")]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    stat = library.stat()
    digest.update(f"{library} {stat.st_size} {stat.st_mtime_ns}".encode())
    return digest.hexdigest()


def build(force: bool = False) -> bool:
    """Builds when needed; True when it did. Raises BuildError."""
    lack = missing()
    if lack:
        raise BuildError(lack)
    library = find_library()
    wanted = fingerprint(library)
    stamp = WORK / "fingerprint"
    if not force and OUTPUT.exists() and stamp.exists() and stamp.read_text() == wanted:
        return False
    WORK.mkdir(parents=True, exist_ok=True)
    _run(PYTHON, "-I", "-S", str(PLUGIN / "freeze.py"), str(SOURCES), str(WORK / "frozen.h"))
    objects = []
    for source in sorted(NATIVE.glob("*.c")):
        target = WORK / f"{source.stem}.o"
        _run("gcc", *COMPILE_FLAGS, f"-I{INCLUDE}", f"-I{WORK}", "-c", str(source), "-o", str(target))
        objects.append(str(target))
    linked = WORK / "aws-cni.linked"
    _run("gcc", *LINK_FLAGS, *objects, str(library), "-lm", f"-Wl,-T,{NATIVE / 'state.ld'}", "-o", str(linked))
    unfinished = OUTPUT.with_name(f".{OUTPUT.name}.new")
    _snapshot(linked, unfinished)
    size = unfinished.stat().st_size
    if size > MAX_BYTES:
        raise BuildError(f"the binary has {size} bytes; allowed: {MAX_BYTES}")
    unfinished.replace(OUTPUT)
    stamp.write_text(wanted)
    return True


def _snapshot(linked: Path, target: Path) -> None:
    """Lets the linked program initialise its interpreter once, and puts the memory that it then has into the file."""
    state = WORK / "state.bin"
    # From memory: libc notes the directory that a program was started from, and the snapshot would have it.
    program = os.memfd_create("aws-cni")
    with os.fdopen(program, "wb") as memory, state.open("wb") as out:
        memory.write(linked.read_bytes())
        memory.flush()
        command = [*_without_address_randomisation(), f"/proc/self/fd/{program}"]
        done = subprocess.run(command, stdout=out, check=False, env={}, cwd="/", pass_fds=[program])
    if done.returncode:
        raise BuildError(f"the snapshot could not be taken: exit status {done.returncode}")
    _run("/usr/bin/objcopy", "--strip-all", "--update-section", f".pystate={state}", str(linked), str(target))


def _without_address_randomisation() -> list[str]:
    """Makes two builds of the same input equal. A container's seccomp filter may forbid it; then they differ in a few
    bytes that no run reads."""
    setarch = ["/usr/bin/setarch", "--addr-no-randomize"]
    allowed = subprocess.run([*setarch, "/bin/true"], capture_output=True, check=False).returncode == 0
    return setarch if allowed else []


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    # The linker warns that getaddrinfo and the user database need shared libraries at run time; nothing here calls them.
    if done.returncode:
        raise BuildError(f"{' '.join(command)}: exit status {done.returncode}\n{done.stderr}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--force", action="store_true", help="build even when no input changed")
    try:
        built = build(parser.parse_args().force)
    except BuildError as exc:
        sys.stderr.write(f"plugin: {exc}\n")
        return 1
    sys.stdout.write(f"{OUTPUT} {'built' if built else 'is current'}, {OUTPUT.stat().st_size} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

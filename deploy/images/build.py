"""``make images``: builds every image with buildah and writes build/images/<name>.tar (OCI archives), sizes printed.

No registry and no daemon is needed: the base is made from Debian packages by mmdebstrap. What has not changed (by the
content that goes in) is not built again. Bases and buildah's storage lie in ${VPCCNI_CACHE:-~/.cache/vpccni}.
"""

# ruff: noqa: T201 -- a command-line tool
from __future__ import annotations

import argparse
import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from emulation import MACHINES, emulated, native

REPO: Final = Path(__file__).resolve().parents[2]
HERE: Final = REPO / "deploy/images"
OUT: Final = REPO / "build/images"
CACHE: Final = Path(os.environ.get("VPCCNI_CACHE") or Path.home() / ".cache/vpccni")
REPOSITORY: Final = "localhost/vpccni"

SUITE: Final = "bookworm"
RUNTIME_PACKAGES: Final = (
    "base-files",
    "dash",
    "coreutils",
    "libc-bin",
    "libstdc++6",
    "python3",
    "iptables",
    "nftables",
)
BUILDER_PACKAGES: Final = (*RUNTIME_PACKAGES, "python3-pip")
PLUGIN_PACKAGES: Final = (
    *RUNTIME_PACKAGES,
    "gcc",
    "libc6-dev",
    "libpython3.11-dev",
    "util-linux",
    "containernetworking-plugins",
)
LEAVE_OUT: Final = (
    "/usr/share/man/*",
    "/usr/share/info/*",
    "/usr/share/doc/*",
    "/usr/share/locale/*",
    "/usr/lib/*/gconv/*",
)
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
COPYRIGHT: Final = "/usr/share/doc/*/copyright"

# Packages are unpacked without their scripts, so what the scripts would have made is made here.
FINISH: Final = r"""set -eu
cd "$1"
printf 'root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' > etc/passwd
printf 'root:x:0:\nnogroup:x:65534:\n' > etc/group
# A runtime may name a pod's namespace /run/netns/… as well as /var/run/netns/….
rm -rf var/run && ln -s /run var/run
for family in ip ip6; do for verb in '' -save -restore; do
  ln -s ${family}tables-nft$verb usr/sbin/${family}tables$verb
done; done
rm -rf var/lib/dpkg var/cache/* var/log/* usr/lib/python3*/pydoc_data usr/lib/python3*/lib2to3
"""


@dataclasses.dataclass(frozen=True)
class Image:
    """``sources``: what goes in, besides its Dockerfile and its requirements; paths relative to the repository."""

    name: str
    sources: tuple[str, ...]
    arguments: tuple[tuple[str, str], ...] = ()


_COMMON: Final = ("proto/src", "services/kit/src")
IMAGES: Final = (
    Image("eni-manager", (*_COMMON, "services/eni-manager/src")),
    Image("netconf", (*_COMMON, "services/netconf/src")),
    Image("metrics-helper", (*_COMMON, "services/metrics-helper/src")),
    Image("ipam", (*_COMMON, "services/ipam/src", "deploy/install/src", "deploy/cli/src")),
    Image(
        "init",
        (*_COMMON, "deploy/install/src", "build/aws-cni"),
        (("PLUGIN", "plugin-given"), ("REFERENCE", "reference-given")),
    ),
)

# Of another architecture than this machine's: its Dockerfile makes the plugin and takes the reference plugins from BUILDER.
FOREIGN_INIT: Final = Image(
    "init",
    (*_COMMON, "deploy/install/src", "plugin", "proto"),
    # The Dockerfile's defaults; buildah takes a stage that only a default names for unused.
    (("PLUGIN", "plugin-build"), ("REFERENCE", "reference-debian")),
)


def version() -> str:
    """The version of the services; also the images' tag."""
    with (REPO / "proto/pyproject.toml").open("rb") as file:
        return str(tomllib.load(file)["project"]["version"])


def run(*argv: str, quiet: bool = True) -> str:
    """Runs a command; its output is shown only when it fails. Raises SystemExit naming the command."""
    done = subprocess.run(
        argv, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT if quiet else None, text=True
    )
    if done.returncode:
        sys.stderr.write(done.stdout)
        raise SystemExit(f"failed with status {done.returncode}: {' '.join(argv)}")
    return done.stdout.strip()


def buildah(*argv: str, quiet: bool = True) -> str:
    """buildah with a storage of its own: nothing of the machine's is touched."""
    storage = CACHE / "containers"
    options = ("--root", f"{storage}/root", "--runroot", f"{storage}/run", "--storage-driver", storage_driver(storage))
    return run("buildah", *options, *argv, quiet=quiet)


@contextlib.contextmanager
def cleaned_up() -> Iterator[None]:
    """buildah 1.28 leaves the container of a first stage behind, and a failed build its own with a mount. One build at a time."""
    with (CACHE / "containers/building").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = set(buildah("containers", "--quiet").split())
        try:
            yield
        finally:
            if left := sorted(set(buildah("containers", "--quiet").split()) - before):
                buildah("rm", *left)


def storage_driver(storage: Path) -> str:
    """overlay where the file system can (fast: layers are not copied), else vfs; decided once per cache."""
    chosen = storage / "driver"
    if not chosen.exists():
        storage.mkdir(parents=True, exist_ok=True)
        probe = subprocess.run(
            (
                "buildah",
                "--root",
                f"{storage}/root",
                "--runroot",
                f"{storage}/run",
                "--storage-driver",
                "overlay",
                "images",
            ),
            check=False,
            capture_output=True,
        )
        chosen.write_text("overlay" if probe.returncode == 0 else "vfs")
    return chosen.read_text()


def files_of(paths: Iterable[str]) -> Iterator[Path]:
    for path in (REPO / name for name in paths):
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (file for file in found if file.is_file() and "__pycache__" not in file.parts)


def content_key(paths: Iterable[str], *more: str) -> str:
    """The same for the same names, contents and further strings."""
    digest = hashlib.sha256()
    for file in files_of(paths):
        digest.update(f"{file.relative_to(REPO)}\0{file.stat().st_mode & 0o111:o}\0".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    digest.update("\0".join(more).encode())
    return digest.hexdigest()[:16]


def ensure_base(name: str, packages: tuple[str, ...], arch: str) -> str:
    """Reference of a base image made of Debian packages; made when it is not in the storage yet."""
    other = () if arch == native() else (arch,)
    key = hashlib.sha256("\0".join((SUITE, *packages, *LEAVE_OUT, FINISH, PATH, *other)).encode()).hexdigest()[:16]
    reference = f"{REPOSITORY}/{name}:{key}"
    if buildah("images", "--quiet", "--filter", f"reference={reference}"):
        return reference
    with tempfile.TemporaryDirectory(prefix="vpccni-base-") as scratch:
        excludes = [f"--dpkgopt=path-exclude={path}" for path in LEAVE_OUT] + [f"--dpkgopt=path-include={COPYRIGHT}"]
        tar = f"{scratch}/base.tar"
        what = (f"--architectures={arch}", f"--include={','.join(packages)}")
        run("mmdebstrap", "--quiet", "--variant=extract", *what, *excludes, SUITE, tar)
        container = buildah("from", "--arch", arch, "scratch", quiet=False)
        buildah("add", "--quiet", container, tar, "/")
        run("sh", "-c", FINISH, "finish", buildah("mount", container))
        buildah("umount", container)
        buildah("config", "--arch", arch, "--env", f"PATH={PATH}", container)
        buildah("commit", "--quiet", "--rm", "--timestamp", "0", container, reference)
    return reference


def ensure_reference_plugins() -> None:
    """build/images/cni-plugins: the CNI project's reference plugins, from Debian's package."""
    target = OUT / "cni-plugins"
    if (target / "loopback").exists():
        return
    shutil.rmtree(target, ignore_errors=True)
    if Path("/usr/lib/cni/loopback").exists():
        shutil.copytree("/usr/lib/cni", target)
        return
    with tempfile.TemporaryDirectory(prefix="vpccni-plugins-") as scratch:
        run("sh", "-c", f"cd {scratch} && apt-get download -q containernetworking-plugins && dpkg-deb -x *.deb .")
        shutil.copytree(f"{scratch}/usr/lib/cni", target)


def host_settings() -> list[str]:
    """The host's own settings of pip (a mirror, a certificate), so that a build step sees the network as the host does."""
    options = ["--volume", "/etc/ssl/certs:/etc/ssl/certs:ro"] if Path("/etc/ssl/certs").is_dir() else []
    if Path("/etc/pip.conf").exists():
        options += ["--volume", "/etc/pip.conf:/etc/pip.conf:ro"]
    return options


def build(image: Image, base: str, builder: str, arch: str) -> dict[str, object]:
    """Builds one image unless what goes in is unchanged; its record (name, reference, sizes, key)."""
    out = out_of(arch)
    archive, record_file = out / f"{image.name}.tar", out / f"{image.name}.json"
    reference = f"{REPOSITORY}/{image.name}:{version()}" + ("" if arch == native() else f"-{arch}")
    dockerfile = f"deploy/images/{image.name}.Dockerfile"
    requirements = [f"deploy/images/requirements/{image.name}.txt"] if image.name != "init" else []
    key = content_key((dockerfile, *requirements, *image.sources), base, builder, reference)
    if archive.exists() and record_file.exists():
        record: dict[str, object] = json.loads(record_file.read_text())
        if record["key"] == key:
            return record | {"built": False}
    arguments = {"BASE": base, "BUILDER": builder, **dict(image.arguments)}
    flags = [item for name, value in arguments.items() for item in ("--build-arg", f"{name}={value}")]
    began = time.monotonic()
    with cleaned_up():
        buildah(
            "bud", "--arch", arch, "--isolation", "chroot", "--layers", "--timestamp", "0", "--pull=never",
            "--ignorefile", str(HERE / "dockerignore"), *flags, *host_settings(),
            "-t", reference, "-f", str(REPO / dockerfile), str(REPO),
        )  # fmt: skip
    archive.unlink(missing_ok=True)
    buildah("push", "--quiet", reference, f"oci-archive:{archive}:{reference}")
    size = int(buildah("inspect", "--type", "image", "--format", "{{.Docker.Size}}", reference) or 0)
    record = {"name": image.name, "reference": reference, "key": key, "archive": str(archive.relative_to(REPO))}
    record |= {
        "archive_bytes": archive.stat().st_size,
        "unpacked_bytes": size,
        "seconds": round(time.monotonic() - began, 1),
    }
    record_file.write_text(json.dumps(record, indent=1) + "\n")
    return record | {"built": True}


def out_of(arch: str) -> Path:
    """Where the archives go: those of another architecture into a directory of its name."""
    return OUT if arch == native() else OUT / arch


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("names", nargs="*", help="only these images (default: all)")
    parser.add_argument("--arch", choices=MACHINES, default=native(), help="by Debian's name (default: this machine's)")
    parser.add_argument("--base", default="", help="runtime base image instead of the one made of Debian packages")
    parser.add_argument("--builder", default="", help="image with pip, of the same Python as --base")
    options = parser.parse_args()
    missing = [tool for tool in ("buildah", "mmdebstrap") if not shutil.which(tool)]
    if missing:
        raise SystemExit(f"missing: {', '.join(missing)} (apt-get install {' '.join(missing)})")
    out_of(options.arch).mkdir(parents=True, exist_ok=True)
    with emulated(options.arch, CACHE):
        build_all(options.names, options.arch, options.base, options.builder)
    return 0


def build_all(names: list[str], arch: str, base: str, builder: str) -> None:
    """``names``: of images, none means all; ``base``, ``builder``: "" for those made of Debian packages."""
    base = base or ensure_base("base", RUNTIME_PACKAGES, arch)
    print(f"base {base}")
    print(f"{'image':14}{'archive MB':>12}{'seconds':>9}  reference")
    for image in IMAGES:
        if names and image.name not in names:
            continue
        if image.name == "init" and arch == native():
            ensure_reference_plugins()
        if image.name == "init" and arch != native():
            plugins = builder or ensure_base("plugin-builder", PLUGIN_PACKAGES, arch)
            record = build(FOREIGN_INIT, base, plugins, arch)
        else:
            record = build(image, base, builder or ensure_base("builder", BUILDER_PACKAGES, arch), arch)
        took = f"{record['seconds']}" if record["built"] else "cached"
        print(
            f"{image.name:14}{int(str(record['archive_bytes'])) / 1e6:>12.1f}{took:>9}  {record['reference']}",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())

"""What the cluster is made of, built or fetched once and kept in ${VPCCNI_CACHE:-~/.cache/vpccni}.

Go programs are pinned by go.mod and go.sum in tests/e2e/go; Debian packages are unpacked, not installed, so no service of
the machine is started or changed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cluster.sh import run

REPO: Final = Path(__file__).resolve().parents[3]
GO: Final = REPO / "tests/e2e/go"
CACHE: Final = Path(os.environ.get("VPCCNI_CACHE") or Path.home() / ".cache/vpccni")
BIN: Final = CACHE / "bin"
DEBS: Final = CACHE / "debian"

KUBERNETES: Final = "1.34.4"
KUBE_NAMES: Final = ("kubelet", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubectl")
DEBIAN_PACKAGES: Final = ("containerd", "runc", "etcd-server", "busybox-static")
TOOLS: Final = ("go", "gcc", "openssl", "nsenter", "unshare", "dpkg-deb", "apt-get", "ip")

_VERSION: Final = "k8s.io/component-base/version"
_STAMP: Final = {
    "gitVersion": f"v{KUBERNETES}",
    "gitMajor": KUBERNETES.split(".")[0],
    "gitMinor": KUBERNETES.split(".")[1],
    "gitTreeState": "clean",
    "gitCommit": "0" * 40,
    "buildDate": "2026-01-01T00:00:00Z",
}
# Without these Helm 3 takes an unknown cluster for Kubernetes 1.20, which our chart refuses.
_HELM3: Final = ("pkg/lint/rules", "pkg/chartutil")
_LDFLAGS: Final = {
    "hyper": " ".join(f"-X {_VERSION}.{name}={value}" for name, value in _STAMP.items()),
    "helm3": "-X helm.sh/helm/v3/internal/version.version=v3.22.0 "
    + " ".join(
        f"-X helm.sh/helm/v3/{place}.k8sVersion{part}={value}"
        for place in _HELM3
        for part, value in zip(("Major", "Minor"), KUBERNETES.split("."), strict=False)
    ),
    "helm4": "-X helm.sh/helm/v4/internal/version.version=v4.3.1",
}
_PACKAGES: Final = {
    "hyper": ".",
    "probe": ".",
    "cnicall": ".",
    "cnitool": "github.com/containernetworking/cni/cnitool",
    "helm3": "helm.sh/helm/v3/cmd/helm",
    "helm4": "helm.sh/helm/v4/cmd/helm",
}

Progress = Callable[[str], None]


def missing_tools() -> list[str]:
    """Programs that must be on the machine and are not."""
    return [tool for tool in TOOLS if shutil.which(tool) is None]


def go_program(name: str, progress: Progress) -> Path:
    """Builds tests/e2e/go/<name> unless this very source was built before. Raises CommandError."""
    source = GO / name
    digest = hashlib.sha256(run("go", "env", "GOVERSION", cwd=source).encode() + _LDFLAGS.get(name, "").encode())
    for path in sorted(source.iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    built = BIN / f"{name}-{digest.hexdigest()[:12]}"
    if not built.exists():
        progress(f"building {name} (Go; minutes when the build cache is cold)")
        BIN.mkdir(parents=True, exist_ok=True)
        env = os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false"}
        temporary = built.with_suffix(".new")
        flags = ("-trimpath", "-ldflags", f"-s -w {_LDFLAGS.get(name, '')}", "-o", str(temporary))
        run(
            "nice",
            "-n",
            os.environ.get("VPCCNI_BUILD_NICE", "10"),
            "go",
            "build",
            *flags,
            _PACKAGES[name],
            cwd=source,
            env=env,
        )
        for old in BIN.glob(f"{name}-????????????"):
            old.unlink()
        temporary.rename(built)
    return built


def link(name: str, target: Path) -> Path:
    """BIN/<name> -> target, replaced in one step."""
    temporary = BIN / f".{name}.{os.getpid()}"
    temporary.symlink_to(target.name)
    temporary.rename(BIN / name)
    return BIN / name


def kubernetes(progress: Progress) -> Path:
    """One binary with a link for each server; the directory of the links."""
    hyper = go_program("hyper", progress)
    for name in KUBE_NAMES:
        link(name, hyper)
    return BIN


def helm(version: int, progress: Progress) -> Path:
    """Helm 3 or 4."""
    built = go_program(f"helm{version}", progress)
    return link("helm" if version == 3 else f"helm{version}", built)


def debian(progress: Progress) -> Path:
    """The packages' files below one root, as they would be installed. Raises CommandError."""
    key = hashlib.sha256("\0".join(DEBIAN_PACKAGES).encode()).hexdigest()[:12]
    root = DEBS / key
    if not root.exists():
        progress(f"fetching {', '.join(DEBIAN_PACKAGES)} (Debian)")
        DEBS.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=DEBS) as scratch:
            directory = Path(scratch)
            run(
                "sh",
                "-c",
                f"apt-get download -q {' '.join(DEBIAN_PACKAGES)} || {{ apt-get update -q && apt-get download -q {' '.join(DEBIAN_PACKAGES)}; }}",
                cwd=directory,
            )
            for package in directory.glob("*.deb"):
                run("dpkg-deb", "-x", package, directory / "root")
            (directory / "root").rename(root)
    return root


def pause(progress: Progress) -> Path:
    """The program of a sandbox: waits, and reaps what is left to it."""
    source = Path(__file__).with_name("pause.c")
    built = BIN / f"pause-{hashlib.sha256(source.read_bytes()).hexdigest()[:12]}"
    if not built.exists():
        progress("building pause")
        BIN.mkdir(parents=True, exist_ok=True)
        run("gcc", "-Os", "-static", "-s", "-o", built, source)
    return built

"""Certificates and kubeconfigs of a throw-away cluster, by openssl."""

from __future__ import annotations

import json
from pathlib import Path

from cluster.sh import run

_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
_DAYS = "30"


class Pki:
    """A CA in ``directory`` and what it signed. ``server``: the API server's URL in kubeconfigs."""

    def __init__(self, directory: Path, server: str) -> None:
        self.directory = directory
        self.server = server
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o700)
        usage = "keyUsage=critical,keyCertSign,digitalSignature"
        run("openssl", "req", "-x509", *_CURVE, "-keyout", self.key("ca"), "-out", self.cert("ca"), "-days", _DAYS,
            "-subj", "/CN=vpccni-e2e", "-addext", usage)  # fmt: skip
        run("openssl", "genrsa", "-out", self.key("sa"), "2048")
        run("openssl", "rsa", "-in", self.key("sa"), "-pubout", "-out", directory / "sa.pub")

    def cert(self, name: str) -> Path:
        return self.directory / f"{name}.crt"

    def key(self, name: str) -> Path:
        return self.directory / f"{name}.key"

    def kubeconfig(self, name: str) -> Path:
        return self.directory / f"{name}.kubeconfig"

    def issue(self, name: str, subject: str, names: str = "") -> None:
        """A certificate for client and server use. ``names``: subjectAltName."""
        request, extensions = self.directory / f"{name}.csr", self.directory / f"{name}.ext"
        run("openssl", "req", *_CURVE, "-keyout", self.key(name), "-out", request, "-subj", subject)
        lines = ["extendedKeyUsage=clientAuth,serverAuth", *([f"subjectAltName={names}"] if names else [])]
        extensions.write_text("\n".join(lines) + "\n")
        run("openssl", "x509", "-req", "-in", request, "-CA", self.cert("ca"), "-CAkey", self.key("ca"), "-CAcreateserial",
            "-days", _DAYS, "-extfile", extensions, "-out", self.cert(name))  # fmt: skip

    def user(self, name: str, subject: str, names: str = "") -> Path:
        """A certificate and a kubeconfig that uses it."""
        self.issue(name, subject, names)
        credentials = {"client-certificate": str(self.cert(name)), "client-key": str(self.key(name))}
        cluster = {"server": self.server, "certificate-authority": str(self.cert("ca"))}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "e2e", "cluster": cluster}],
            "users": [{"name": name, "user": credentials}],
            "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": name}}],
            "current-context": "e2e",
        }
        self.kubeconfig(name).write_text(json.dumps(config, indent=1))
        return self.kubeconfig(name)

"""iptables-save, iptables-restore and nft as processes. Blocks; never called on the kernel thread."""

from __future__ import annotations

import shutil
import subprocess
from typing import Final

from vpccni_api.reasons import Reason, ReasonError

from vpccni_netconf.adapters.filter_fingerprint import FilterFingerprint
from vpccni_netconf.domain import nft_text
from vpccni_netconf.domain.backend import Backend, HostFilter

_TIMEOUT_S: Final = 20
_LOCK_WAIT_S: Final = "5"
_SHOWN_LINES: Final = 4


class HostPacketFilter:
    """See ``ports.PacketFilter``."""

    def __init__(self) -> None:
        self._fingerprint = FilterFingerprint()

    def close(self) -> None:
        self._fingerprint.close()

    def survey(self) -> HostFilter:
        # Listing by the legacy binary makes the kernel create its tables: only where some are in use.
        legacy_used = bool(_read("/proc/thread-self/net/ip_tables_names"))
        return HostFilter(
            legacy=self.listing(Backend.LEGACY, 4) if legacy_used else "",
            nft=self.listing(Backend.NFT, 4),
            version=_run([_tool(None, "iptables"), "--version"], "")[1],
            nft_tool=shutil.which("nft") is not None,
        )

    def fingerprint(self) -> tuple[int, ...]:
        return self._fingerprint.read()

    def listing(self, backend: Backend, family: int) -> str:
        code, text = _run([_tool(backend, _name(family, "save"))], "")
        if code:
            raise ReasonError(Reason.PACKET_FILTER_FAILED, f"{_name(family, 'save')} ({backend}): {text.strip()}")
        return text

    def restore(self, backend: Backend, family: int, text: str) -> None:
        tool = _tool(backend, _name(family, "restore"))
        code, output = _run([tool, "-w", _LOCK_WAIT_S, "--noflush"], text)
        if code:
            shown = " | ".join(line for line in text.splitlines()[:_SHOWN_LINES])
            raise ReasonError(Reason.PACKET_FILTER_FAILED, f"{tool} --noflush: {output.strip()}; input began: {shown}")

    def nft_table(self) -> str:
        """The listing of our table, "" when it is not there."""
        if shutil.which("nft") is None:
            return ""
        code, output = _run(["nft", "-s", "list", "table", "ip", nft_text.TABLE], "")
        return "" if code else output

    def nft(self, text: str) -> None:
        code, output = _run(["nft", "-f", "-"], text)
        if code:
            raise ReasonError(Reason.PACKET_FILTER_FAILED, f"nft -f: {output.strip()}")


def _name(family: int, what: str) -> str:
    return f"ip{'6' if family == 6 else ''}tables-{what}"


def _tool(backend: Backend | None, name: str) -> str:
    """The backend's own binary where the distribution has it (iptables-nft-save), else the plain name."""
    if backend is not None:
        flavour = "legacy" if backend is Backend.LEGACY else "nft"
        stem, _, what = name.partition("-")
        special = f"{stem}-{flavour}-{what}"
        if shutil.which(special):
            return special
    return name


def _run(argv: list[str], text: str) -> tuple[int, str]:
    """Exit status and output (standard output; with standard error where it failed)."""
    try:
        done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise ReasonError(Reason.PACKET_FILTER_FAILED, f"{argv[0]} did not end within {_TIMEOUT_S} s") from error
    except OSError as error:
        raise ReasonError(Reason.PACKET_FILTER_FAILED, f"{argv[0]}: {error.strerror}") from error
    return done.returncode, done.stdout if done.returncode == 0 else f"{done.stdout}{done.stderr}"


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""

"""Brings the host's packet filter to what the settings ask for."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from vpccni_netconf.domain import iptables_text, nft_text
from vpccni_netconf.domain.backend import Backend, HostFilter, choose, knows_random_fully
from vpccni_netconf.domain.chains import Filter, Table, plan_filter
from vpccni_netconf.domain.spec import HostSpec
from vpccni_netconf.ports import PacketFilter


@dataclasses.dataclass(frozen=True, slots=True)
class FilterResult:
    """``changed``: the rules, chains and sets that were written, one line each; empty when everything was right."""

    backend: Backend
    changed: tuple[str, ...]


_NOTHING = {"nat": Table({}, {}), "mangle": Table({}, {})}


def apply_filter(
    tool: PacketFilter, spec: HostSpec, primary_link: str, prefixes: Sequence[str], forced_backend: str
) -> FilterResult:
    """Each table changes in one transaction; what is new is in place before what it replaces goes: never a moment without
    translation. Raises PACKET_FILTER_FAILED."""
    host = tool.survey()
    backend = choose(host, forced_backend)
    plan = plan_filter(
        spec,
        primary_link,
        prefixes,
        native_nft=backend is Backend.NFTABLES,
        random_fully=knows_random_fully(host.version),
    )
    changed = [
        *(_apply_nft(tool, plan) if plan.nft is not None else ()),
        *_apply_iptables(tool, host, backend, plan),
        *(_apply_nft(tool, plan) if plan.nft is None else ()),
        *_leave_other_backend(tool, host, backend),
    ]
    return FilterResult(backend, tuple(changed))


def _apply_iptables(tool: PacketFilter, host: HostFilter, backend: Backend, plan: Filter) -> list[str]:
    changed = []
    listing = (host.legacy or tool.listing(backend, 4)) if backend is Backend.LEGACY else host.nft
    for family, tables in ((4, plan.v4), (6, plan.v6)):
        listed = iptables_text.parse(listing if family == 4 else tool.listing(backend, 6)) if tables else {}
        text = iptables_text.restore_text(tables, listed)
        if text:
            tool.restore(backend, family, text)
            changed += _lines(text)
    return changed


def _apply_nft(tool: PacketFilter, plan: Filter) -> list[str]:
    present = nft_text.parse(tool.nft_table())
    if plan.nft is None:
        if present is None:
            return []
        tool.nft(nft_text.DELETE)
        return [f"delete table ip {nft_text.TABLE}"]
    if present == nft_text.wanted(plan.nft):
        return []
    tool.nft(nft_text.render(plan.nft))
    return [f"table ip {nft_text.TABLE}"]


def _leave_other_backend(tool: PacketFilter, host: HostFilter, backend: Backend) -> list[str]:
    """Rules of ours in the other iptables, from before the host changed over."""
    other, listing = (Backend.NFT, host.nft) if backend is Backend.LEGACY else (Backend.LEGACY, host.legacy)
    text = iptables_text.restore_text(_NOTHING, iptables_text.parse(listing))
    if not text:
        return []
    tool.restore(other, 4, text)
    return _lines(text)


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(("-", ":"))]

"""Use case of ``clean``: takes our rules, the routes of ENIs and our packet filter from a node that has no pod of ours."""

from __future__ import annotations

from typing import Final

from vpccni_api.reasons import Reason, ReasonError

from vpccni_netconf.domain import iptables_text, nft_text
from vpccni_netconf.domain.backend import Backend
from vpccni_netconf.domain.chains import Table
from vpccni_netconf.domain.links import leftover_links, pod_link_prefixes
from vpccni_netconf.domain.plan_removal import eni_tables, plan_removal
from vpccni_netconf.ports import Namespace, PacketFilter, Query

_NOTHING: Final = {name: Table({}, {}) for name in ("nat", "mangle", "filter")}


def remove_host(host: Namespace, tool: PacketFilter, veth_prefix: str, connmark: int) -> tuple[str, ...]:
    """What was taken away, one line each; empty when there was nothing.

    Raises CONFIG_INVALID while a host link of a pod of ours is there, KERNEL_REFUSED, PACKET_FILTER_FAILED.
    """
    links = host.observe(Query()).links
    prefixes = frozenset(pod_link_prefixes(links, veth_prefix))
    pods = [link.name for link in leftover_links(links, prefixes, frozenset())]
    if pods:
        raise ReasonError(
            Reason.CONFIG_INVALID,
            f"{len(pods)} pods of this node have links of ours ({', '.join(pods[:3])}): remove them first",
        )
    rules = host.observe(Query((4, 6), rules=True)).rules
    observed = host.observe(Query((4, 6), rules=True, tables=eni_tables(rules), addresses=True))
    ops = plan_removal(observed, prefixes, connmark)
    host.apply(ops)
    return (*map(str, ops), *_remove_filter(tool))


def _remove_filter(tool: PacketFilter) -> list[str]:
    removed = []
    # Listing by the legacy binary makes the kernel create its tables: only where the survey found some.
    backends = (Backend.NFT, Backend.LEGACY) if tool.survey().legacy else (Backend.NFT,)
    for backend in backends:
        for family in (4, 6):
            text = iptables_text.restore_text(_NOTHING, iptables_text.parse(tool.listing(backend, family)))
            if text:
                tool.restore(backend, family, text)
                removed += [line for line in text.splitlines() if line.startswith(("-D", "-X"))]
    if nft_text.parse(tool.nft_table()) is not None:
        tool.nft(nft_text.DELETE)
        removed.append(f"delete table ip {nft_text.TABLE}")
    return removed

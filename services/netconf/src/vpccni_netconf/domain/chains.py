"""Desired packet filter of the node: source translation for what leaves the VPC, and marks that keep connections on the ENI
that they came in on. Rules are text in the form in which `iptables-save` lists them, so that listing and wish compare equal.

Order within our chains: what is exempt first (the original inserts each at the head, so CIDRs stand in reverse), then the verdict.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Final

from vpccni_netconf.domain.names import EGRESS_CIDR, host_cidr
from vpccni_netconf.domain.spec import HostSpec

SNAT_CHAIN: Final = "AWS-SNAT-CHAIN-0"
CONNMARK_CHAIN: Final = "AWS-CONNMARK-CHAIN-0"
EGRESS_CHAIN: Final = "AWS-EGRESS-CHAIN-0"
_OWN_CHAIN_PREFIXES: Final = ("AWS-SNAT-CHAIN-", "AWS-CONNMARK-CHAIN-", "AWS-EGRESS-CHAIN-")
_EGRESS_PLUGIN_CHAINS: Final = ("CNI-E4-", "CNI-E6-")
_EGRESS_PLUGIN_COMMENT: Final = r'--comment "name: \"aws-cni\" id: \"'
_EGRESS_COMMENT: Final = '-m comment --comment "AWS, egress"'
_SNAT_COMMENT: Final = '-m comment --comment "AWS SNAT CHAIN"'
_PRIMARY_COMMENT: Final = '-m comment --comment "AWS, primary ENI"'
_CONNMARK_COMMENT: Final = '-m comment --comment "AWS, CONNMARK"'
_OWN_COMMENTS: Final = (
    "AWS SNAT CHAIN",
    "AWS SNAT CHAN",  # sic: an early release wrote it so
    "AWS EGRESS CHAIN",
    "AWS, egress",
    "AWS, SNAT",
    "AWS, primary ENI",
    "AWS, CONNMARK",
    "AWS, outbound connections",
    "Block Node Local Pod access via IPv4",
    "Block Node Local Pod access via IPv6",
)
_MULTICAST: Final = {4: "224.0.0.0/4", 6: "ff00::/8"}


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """One table. ``own``: whole content of chains that are ours; ``shared``: our rules, in order, in chains that are not;
    ``head``: shared chains where our one rule goes before everybody else's when it is added. ``takes_over``: chains of the
    original's egress plugin, one for each pod, are not needed beside these."""

    own: Mapping[str, tuple[str, ...]]
    shared: Mapping[str, tuple[str, ...]]
    head: frozenset[str] = frozenset()
    takes_over: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class NftConnmark:
    """The connmark rules as a table of nftables' own (``ip aws-cni``), for hosts whose iptables is nftables underneath."""

    prefixes: tuple[str, ...]
    exempt: tuple[str, ...]
    mark: int


@dataclasses.dataclass(frozen=True, slots=True)
class Filter:
    """The whole packet filter. ``nft`` None: the table ``ip aws-cni`` must not exist."""

    v4: Mapping[str, Table]
    v6: Mapping[str, Table]
    nft: NftConnmark | None


def plan_filter(
    spec: HostSpec, primary_link: str, prefixes: Sequence[str], *, native_nft: bool, random_fully: bool = True
) -> Filter:
    """``prefixes``: of host links of pods, the setting's first, then those of pods that run since before it was changed.
    ``random_fully``: the host's iptables knows the flag (1.6.2 and later)."""
    translate = not spec.external_snat and not spec.ipv6
    exempt = tuple(dict.fromkeys((*spec.vpc_cidrs, *spec.exclude_snat_cidrs)))[::-1]
    native = native_nft and translate
    v6: dict[str, Table] = {}
    if spec.ipv6:
        v4 = {"filter": _forward_reject(4, wanted=True), "nat": _egress_nat(spec, 4, random_fully=random_fully)}
    else:
        v4 = {
            "nat": _nat(spec, prefixes, exempt, translate=translate, native=native, random_fully=random_fully),
            "mangle": _mangle(spec, primary_link, prefixes),
        }
        v6 = {
            "filter": _forward_reject(6, wanted=spec.v6_egress),
            "nat": _egress_nat(spec, 6, random_fully=random_fully),
        }
    return Filter(v4, v6, NftConnmark(tuple(prefixes), exempt, spec.connmark) if native else None)


def _nat(
    spec: HostSpec, prefixes: Sequence[str], exempt: Sequence[str], *, translate: bool, native: bool, random_fully: bool
) -> Table:
    # The chain exists, empty, even without translation: a jump to a chain that is missing is an error of its own kind.
    own: dict[str, tuple[str, ...]] = {SNAT_CHAIN: ()}
    shared: dict[str, tuple[str, ...]] = {"PREROUTING": (), "POSTROUTING": ()}
    if translate:
        own[SNAT_CHAIN] = _snat_rules(spec, random_fully=random_fully)
        shared["POSTROUTING"] = (f"{_SNAT_COMMENT} -j {SNAT_CHAIN}",)
    if translate and not native:
        mark = f"{spec.connmark:#x}"
        own[CONNMARK_CHAIN] = (
            *(f'{_to(cidr)}-m comment --comment "AWS CONNMARK CHAIN" -j RETURN' for cidr in exempt),
            f"{_CONNMARK_COMMENT} -j CONNMARK --set-xmark {mark}/{mark}",
        )
        jumps = (
            f'-i {prefix}+ -m comment --comment "AWS, outbound connections" -j {CONNMARK_CHAIN}' for prefix in prefixes
        )
        shared["PREROUTING"] = (*jumps, f"{_CONNMARK_COMMENT} -j {_restore(spec)}")
    return Table(own, shared)


def _ports(spec: HostSpec, *, random_fully: bool) -> str:
    """How source ports of translated connections are chosen, as a flag; "": they are kept where possible."""
    flags = {"prng": " --random-fully" if random_fully else " --random", "hashrandom": " --random"}
    return flags.get(spec.randomize_snat, "")


def _egress_nat(spec: HostSpec, family: int, *, random_fully: bool) -> Table:
    """One chain for the whole range of egress addresses. It stays when the setting is turned off under IPv6: pods that have an
    egress link keep it."""
    if not spec.egress_ip or not (spec.ipv6 or spec.v6_egress):
        return Table({}, {})
    rules = (
        f"-d {_MULTICAST[family]} {_EGRESS_COMMENT} -j ACCEPT",
        f"{_EGRESS_COMMENT} -j SNAT --to-source {spec.egress_ip}{_ports(spec, random_fully=random_fully)}",
    )
    jump = f'-s {EGRESS_CIDR[family]} -m comment --comment "AWS EGRESS CHAIN" -j {EGRESS_CHAIN}'
    return Table({EGRESS_CHAIN: rules}, {"POSTROUTING": (jump,)}, takes_over=True)


def _snat_rules(spec: HostSpec, *, random_fully: bool) -> tuple[str, ...]:
    excluded = dict.fromkeys(spec.exclude_snat_cidrs)
    vpc = [cidr for cidr in dict.fromkeys(spec.vpc_cidrs) if cidr not in excluded]
    return (
        *(f'{_to(cidr)}-m comment --comment "AWS SNAT CHAIN EXCLUSION" -j RETURN' for cidr in reversed(excluded)),
        *(f"{_to(cidr)}{_SNAT_COMMENT} -j RETURN" for cidr in reversed(vpc)),
        f'! -o vlan+ -m comment --comment "AWS, SNAT" -m addrtype ! --dst-type LOCAL -j SNAT --to-source {spec.primary_ip}'
        + _ports(spec, random_fully=random_fully),
    )


def _mangle(spec: HostSpec, primary_link: str, prefixes: Sequence[str]) -> Table:
    rules: list[str] = []
    mark = f"{spec.connmark:#x}"
    if spec.node_port_support:
        rules.append(
            f"-i {primary_link} {_PRIMARY_COMMENT} -m addrtype --dst-type LOCAL --limit-iface-in"
            f" -j CONNMARK --set-xmark {mark}/{mark}"
        )
    if spec.node_port_support or not spec.external_snat:
        # nat chains see a connection's first packet only: without this the others would leave by the pod's own ENI.
        rules += [f"-i {prefix}+ {_PRIMARY_COMMENT} -j {_restore(spec)}" for prefix in prefixes]
    if spec.node_port_support:
        rules.append(f"-i vlan+ {_PRIMARY_COMMENT} -j {_restore(spec)}")
    return Table({}, {"PREROUTING": tuple(rules)})


def _forward_reject(family: int, *, wanted: bool) -> Table:
    kind = "icmp6-port-unreachable" if family == 6 else "icmp-port-unreachable"
    rule = (
        f"-d {EGRESS_CIDR[family]} -m conntrack --ctstate NEW -m comment --comment"
        f' "Block Node Local Pod access via IPv{family}" -j REJECT --reject-with {kind}'
    )
    return Table({}, {"FORWARD": (rule,) if wanted else ()}, frozenset({"FORWARD"}))


def _restore(spec: HostSpec) -> str:
    return f"CONNMARK --restore-mark --nfmask {spec.connmark:#x} --ctmask {spec.connmark:#x}"


def _to(cidr: str) -> str:
    """The listing leaves out a destination that is everything, and always shows a length."""
    if cidr.endswith("/0"):
        return ""
    return f"-d {cidr if '/' in cidr else host_cidr(cidr)} "


def is_own_chain(name: str) -> bool:
    return name.startswith(_OWN_CHAIN_PREFIXES)


def is_egress_plugin_chain(name: str) -> bool:
    """One that the original's egress plugin made for a pod."""
    return name.startswith(_EGRESS_PLUGIN_CHAINS)


def is_egress_plugin_jump(rule: str) -> bool:
    return _EGRESS_PLUGIN_COMMENT in rule and any(f" -j {prefix}" in rule for prefix in _EGRESS_PLUGIN_CHAINS)


def is_own_rule(rule: str) -> bool:
    """Ours, of any release, in a chain that is not: by its comment, or by a jump to one of our chains."""
    if any(f" -j {prefix}" in rule for prefix in _OWN_CHAIN_PREFIXES):
        return True
    return any(f'--comment "{comment}"' in rule for comment in _OWN_COMMENTS)

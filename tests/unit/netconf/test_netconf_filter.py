"""Packet filter: what is wished for, what a listing says, and the least text that leads from one to the other."""

from __future__ import annotations

import dataclasses

import pytest
from vpccni_netconf.domain import iptables_text, nft_text
from vpccni_netconf.domain.backend import Backend, HostFilter, choose, knows_random_fully, mixture
from vpccni_netconf.domain.chains import CONNMARK_CHAIN, EGRESS_CHAIN, SNAT_CHAIN, Filter, Table, plan_filter
from vpccni_netconf.domain.spec import HostSpec

SPEC = HostSpec(
    "02:00:00:00:01:0a", "10.0.1.10", ("10.0.0.0/16", "10.1.0.0/16"), exclude_snat_cidrs=("192.168.0.0/16",)
)


def plan(spec: HostSpec = SPEC, prefixes: tuple[str, ...] = ("eni",), *, native: bool = False) -> Filter:
    return plan_filter(spec, "eth0", prefixes, native_nft=native)


def listing_of(planned: Filter) -> str:
    """What `iptables-save` shows once the plan is in place."""
    lines = []
    for name, table in planned.v4.items():
        lines += [f"*{name}", ":PREROUTING ACCEPT [0:0]", *(f":{chain} - [0:0]" for chain in table.own)]
        for chains in (table.shared, table.own):
            lines += [f"-A {chain} {rule}" for chain, rules in chains.items() for rule in rules]
        lines.append("COMMIT")
    return "\n".join((*lines, ""))


def text(planned: Filter, listing: str) -> str:
    return iptables_text.restore_text(planned.v4, iptables_text.parse(listing))


@pytest.mark.parametrize("node_port", [True, False])
@pytest.mark.parametrize("external", [True, False])
def test_nothing_is_written_when_the_listing_shows_the_plan(node_port: bool, external: bool) -> None:
    planned = plan(dataclasses.replace(SPEC, node_port_support=node_port, external_snat=external))
    assert text(planned, listing_of(planned)) == ""
    assert text(planned, "") != ""


def test_which_rules_for_which_settings() -> None:
    """(nodePort, externalSNAT) -> rules of mangle PREROUTING, jump of POSTROUTING, rules of the SNAT chain, connmark chain."""
    shapes = {}
    for node_port in (True, False):
        for external in (False, True):
            tables = plan(dataclasses.replace(SPEC, node_port_support=node_port, external_snat=external)).v4
            shapes[node_port, external] = (
                len(tables["mangle"].shared["PREROUTING"]),
                len(tables["nat"].shared["POSTROUTING"]),
                len(tables["nat"].own[SNAT_CHAIN]),
                len(tables["nat"].own.get(CONNMARK_CHAIN, ())),
            )
    assert shapes == {
        (True, False): (3, 1, 4, 4),
        (True, True): (3, 0, 0, 0),
        (False, False): (1, 1, 4, 4),
        (False, True): (0, 0, 0, 0),
    }


@pytest.mark.parametrize(
    ("mode", "fully", "flag"),
    [
        ("prng", True, " --random-fully"),
        ("prng", False, " --random"),
        ("hashrandom", True, " --random"),
        ("none", True, ""),
    ],
)
def test_port_randomising(mode: str, fully: bool, flag: str) -> None:
    spec = dataclasses.replace(SPEC, randomize_snat=mode)
    planned = plan_filter(spec, "eth0", ("eni",), native_nft=False, random_fully=fully)
    assert planned.v4["nat"].own[SNAT_CHAIN][-1].endswith(f"-j SNAT --to-source 10.0.1.10{flag}")


def test_a_new_vpc_cidr_rewrites_the_two_chains_in_one_transaction_and_no_jump() -> None:
    written = text(plan(dataclasses.replace(SPEC, vpc_cidrs=(*SPEC.vpc_cidrs, "10.2.0.0/16"))), listing_of(plan()))
    assert written.startswith("*nat\n") and written.count("COMMIT") == 1
    assert f":{SNAT_CHAIN} - [0:0]" in written and f":{CONNMARK_CHAIN} - [0:0]" in written
    assert "PREROUTING" not in written and "POSTROUTING" not in written
    assert '-A AWS-SNAT-CHAIN-0 -d 10.2.0.0/16 -m comment --comment "AWS SNAT CHAIN" -j RETURN' in written


def test_switching_to_external_snat_empties_and_removes() -> None:
    written = text(plan(dataclasses.replace(SPEC, external_snat=True)), listing_of(plan()))
    lines = written.splitlines()
    assert '-D POSTROUTING -m comment --comment "AWS SNAT CHAIN" -j AWS-SNAT-CHAIN-0' in lines
    assert lines.index(f"-X {CONNMARK_CHAIN}") > lines.index(
        '-D PREROUTING -i eni+ -m comment --comment "AWS, outbound connections" -j AWS-CONNMARK-CHAIN-0'
    )
    assert f":{SNAT_CHAIN} - [0:0]" in lines and not [line for line in lines if line.startswith(f"-A {SNAT_CHAIN}")]


def test_leftovers_of_earlier_releases_go() -> None:
    old = """*nat
:PREROUTING ACCEPT [0:0]
:AWS-SNAT-CHAIN-0 - [0:0]
:AWS-SNAT-CHAIN-1 - [0:0]
:KUBE-SERVICES - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A PREROUTING -i eni+ -m comment --comment "AWS, outbound connections" -m state --state NEW -j AWS-CONNMARK-CHAIN-0
-A POSTROUTING -m comment --comment "AWS SNAT CHAIN" -j AWS-SNAT-CHAIN-0
-A AWS-SNAT-CHAIN-0 ! -d 10.0.0.0/16 -m comment --comment "AWS SNAT CHAN" -j AWS-SNAT-CHAIN-1
-A AWS-SNAT-CHAIN-1 -m comment --comment "AWS, SNAT" -m addrtype ! --dst-type LOCAL -j SNAT --to-source 10.0.1.10
COMMIT
"""
    written = text(plan(), old)
    assert '-D PREROUTING -i eni+ -m comment --comment "AWS, outbound connections" -m state --state NEW' in written
    assert ":AWS-SNAT-CHAIN-1 - [0:0]" in written and "-X AWS-SNAT-CHAIN-1" in written
    assert "KUBE" not in written, "what is not ours is not mentioned"


def test_rules_in_a_wrong_order_are_put_right_in_one_transaction() -> None:
    planned = plan()
    jump, restore = planned.v4["nat"].shared["PREROUTING"]
    listing = listing_of(planned).replace(
        f"-A PREROUTING {jump}\n-A PREROUTING {restore}", f"-A PREROUTING {restore}\n-A PREROUTING {jump}"
    )
    assert text(planned, listing).splitlines() == [
        "*nat",
        f"-D PREROUTING {restore}",
        f"-D PREROUTING {jump}",
        f"-A PREROUTING {jump}",
        f"-A PREROUTING {restore}",
        "COMMIT",
    ]


def test_a_rule_that_is_there_twice_is_written_once() -> None:
    planned = plan()
    rule = planned.v4["nat"].shared["POSTROUTING"][0]
    listing = listing_of(planned).replace(f"-A POSTROUTING {rule}\n", f"-A POSTROUTING {rule}\n-A POSTROUTING {rule}\n")
    written = text(planned, listing).splitlines()
    assert written.count(f"-D POSTROUTING {rule}") == 2 and written.count(f"-A POSTROUTING {rule}") == 1


def test_everything_excluded_is_written_without_a_destination_and_stays() -> None:
    planned = plan(dataclasses.replace(SPEC, exclude_snat_cidrs=("0.0.0.0/0",)))
    chain = planned.v4["nat"].own[SNAT_CHAIN]
    assert chain[0] == '-m comment --comment "AWS SNAT CHAIN EXCLUSION" -j RETURN'
    assert text(planned, listing_of(planned)) == ""


def test_pods_of_an_earlier_prefix_keep_their_rules() -> None:
    planned = plan(prefixes=("veth", "eni"))
    first, second, last = planned.v4["nat"].shared["PREROUTING"]
    assert first.startswith("-i veth+ ") and second.startswith("-i eni+ ")
    assert last.endswith("--restore-mark --nfmask 0x80 --ctmask 0x80")


@pytest.mark.parametrize(
    ("listed", "normal"),
    [
        ("-j CONNMARK --set-mark 0x80/0x80", "-j CONNMARK --set-xmark 0x80/0x80"),
        ("-j CONNMARK --restore-mark --mask 0x80", "-j CONNMARK --restore-mark --nfmask 0x80 --ctmask 0x80"),
        ("-d 0.0.0.0/0 -j RETURN", "-j RETURN"),
        ("-d 10.0.0.1 -j RETURN", "-d 10.0.0.1/32 -j RETURN"),
        ("-d 10.0.0.0/16 -j RETURN", "-d 10.0.0.0/16 -j RETURN"),
        ("-s 10.0.0.1 -d 10.0.0.2 -j RETURN", "-s 10.0.0.1/32 -d 10.0.0.2/32 -j RETURN"),
    ],
)
def test_one_spelling_for_what_means_the_same(listed: str, normal: str) -> None:
    assert iptables_text.normalise(listed) == normal
    assert iptables_text.normalise(normal) == normal


def test_ipv6_mode_translates_nothing_and_blocks_the_egress_range() -> None:
    planned = plan(dataclasses.replace(SPEC, ipv6=True))
    assert planned.v4["nat"] == Table({}, {}) and not planned.v6 and planned.nft is None
    written = text(planned, "*filter\n-A FORWARD -j ACCEPT\nCOMMIT\n")
    assert "-I FORWARD 1 -d 169.254.172.0/22 -m conntrack --ctstate NEW" in written


def test_ipv6_egress_of_ipv4_pods_is_blocked_within_the_node() -> None:
    wanted = plan(dataclasses.replace(SPEC, v6_egress=True)).v6["filter"].shared["FORWARD"]
    assert len(wanted) == 1 and wanted[0].startswith("-d fd00::ac:0/118 ")
    assert plan().v6["filter"].shared["FORWARD"] == ()


EGRESS4 = dataclasses.replace(SPEC, ipv6=True, v4_egress=True, primary_ip="2001:db8::10", egress_ip="10.0.1.10")
EGRESS6 = dataclasses.replace(SPEC, v6_egress=True, egress_ip="2001:db8::10")


@pytest.mark.parametrize(
    ("spec", "cidr", "multicast"),
    [(EGRESS4, "169.254.172.0/22", "224.0.0.0/4"), (EGRESS6, "fd00::ac:0/118", "ff00::/8")],
)
@pytest.mark.parametrize(
    ("randomize", "flag"), [("prng", " --random-fully"), ("hashrandom", " --random"), ("none", "")]
)
def test_egress_of_the_whole_range_is_translated_by_one_chain(
    spec: HostSpec, cidr: str, multicast: str, randomize: str, flag: str
) -> None:
    planned = plan(dataclasses.replace(spec, randomize_snat=randomize))
    table = (planned.v4 if spec.ipv6 else planned.v6)["nat"]
    assert table.own == {
        EGRESS_CHAIN: (
            f'-d {multicast} -m comment --comment "AWS, egress" -j ACCEPT',
            f'-m comment --comment "AWS, egress" -j SNAT --to-source {spec.egress_ip}{flag}',
        )
    }
    jump = f'-s {cidr} -m comment --comment "AWS EGRESS CHAIN" -j AWS-EGRESS-CHAIN-0'
    assert table.shared == {"POSTROUTING": (jump,)}
    tables = {"nat": table}
    listed = f"*nat\n:{EGRESS_CHAIN} - [0:0]\n-A POSTROUTING {jump}\n"
    listed += "".join(f"-A {EGRESS_CHAIN} {rule}\n" for rule in table.own[EGRESS_CHAIN])
    assert iptables_text.restore_text(tables, iptables_text.parse(listed)) == ""


def test_without_an_address_of_the_other_family_there_is_no_egress_chain() -> None:
    assert plan(dataclasses.replace(EGRESS4, egress_ip="")).v4["nat"] == Table({}, {})
    assert plan(dataclasses.replace(EGRESS6, egress_ip="")).v6["nat"] == Table({}, {})
    assert plan(dataclasses.replace(EGRESS6, v6_egress=False)).v6["nat"] == Table({}, {})


PLUGIN_CHAIN = "CNI-E4-5740307710ebfd5fb24f5"
OF_THE_EGRESS_PLUGIN = f"""*nat
:{PLUGIN_CHAIN} - [0:0]
:CNI-E4-0000000000000000aaaaa - [0:0]
-A POSTROUTING -s 169.254.172.10/32 -m comment --comment "name: \\"aws-cni\\" id: \\"c1\\"" -j {PLUGIN_CHAIN}
-A POSTROUTING -s 169.254.172.11/32 -m comment --comment "name: \\"other\\" id: \\"c2\\"" -j CNI-E4-0000000000000000aaaaa
-A {PLUGIN_CHAIN} -d 224.0.0.0/4 -m comment --comment "name: \\"aws-cni\\" id: \\"c1\\"" -j ACCEPT
-A {PLUGIN_CHAIN} -m comment --comment "name: \\"aws-cni\\" id: \\"c1\\"" -j SNAT --to-source 10.0.1.10 --random-fully
COMMIT
"""


def test_chains_of_the_originals_egress_plugin_are_taken_over_in_the_same_transaction() -> None:
    written = text(plan(EGRESS4), OF_THE_EGRESS_PLUGIN).partition("*nat")[2].splitlines()
    removed = (
        f'-D POSTROUTING -s 169.254.172.10/32 -m comment --comment "name: \\"aws-cni\\" id: \\"c1\\"" -j {PLUGIN_CHAIN}'
    )
    assert written.index(removed) > next(n for n, line in enumerate(written) if line.endswith("-j AWS-EGRESS-CHAIN-0"))
    assert f":{PLUGIN_CHAIN} - [0:0]" in written and written[-2:] == [f"-X {PLUGIN_CHAIN}", "COMMIT"]
    assert "0000000000000000aaaaa" not in "".join(written), "another network's"
    assert PLUGIN_CHAIN not in text(plan(dataclasses.replace(EGRESS4, egress_ip="")), OF_THE_EGRESS_PLUGIN)


NFT_LISTING = """table ip aws-cni {
	chain snat-mark {
		counter packets 5 bytes 300 ip daddr 10.1.0.0/16 return
		ip daddr 192.168.0.0/16 counter packets 0 bytes 0 return
		counter packets 7 bytes 420 ip daddr 10.0.0.0/16 return
		counter packets 9 bytes 540 ct mark set ct mark | 0x00000080
	}

	chain nat-prerouting {
		type nat hook prerouting priority %s; policy accept;
		fib daddr type local return
		iifname "eni*" counter packets 1 bytes 84 jump snat-mark
		counter packets 2 bytes 168 meta mark set ct mark & 0x00000080
	}
}
"""


@pytest.mark.parametrize("priority", ["dstnat + 10", "-90"])
def test_the_originals_nft_table_is_recognised_whatever_its_order_and_counters(priority: str) -> None:
    wish = plan(native=True).nft
    assert wish is not None
    assert nft_text.parse(NFT_LISTING % priority) == nft_text.wanted(wish)


@pytest.mark.parametrize(
    "strayed",
    [
        NFT_LISTING % "dstnat",
        (NFT_LISTING % "-90").replace('"eni*"', '"veth*"'),
        (NFT_LISTING % "-90").replace("10.1.0.0/16", "10.9.0.0/16"),
        (NFT_LISTING % "-90").replace("0x00000080", "0x00000100"),
        (NFT_LISTING % "-90").replace("\t\tfib daddr type local return\n", ""),
        "table ip aws-cni {\n}\n",
        "",
    ],
)
def test_anything_else_is_not(strayed: str) -> None:
    wish = plan(native=True).nft
    assert wish is not None
    assert nft_text.parse(strayed) != nft_text.wanted(wish)


def test_native_connmark_leaves_none_in_iptables_and_external_snat_needs_none() -> None:
    native = plan(native=True)
    assert CONNMARK_CHAIN not in native.v4["nat"].own and native.v4["nat"].shared["PREROUTING"] == ()
    assert plan(dataclasses.replace(SPEC, external_snat=True), native=True).nft is None


KUBE = "*mangle\n:KUBE-KUBELET-CANARY - [0:0]\nCOMMIT\n"


@pytest.mark.parametrize(
    ("legacy", "nft", "version", "tool", "chosen"),
    [
        ("", KUBE, "iptables v1.8.9 (legacy)", True, Backend.NFTABLES),
        (KUBE, "", "iptables v1.8.9 (nf_tables)", True, Backend.LEGACY),
        (KUBE, KUBE, "iptables v1.8.9 (legacy)", True, Backend.NFTABLES),
        ("", "", "iptables v1.8.7 (legacy)", True, Backend.LEGACY),
        ("", "", "iptables v1.8.10 (nf_tables)", True, Backend.NFTABLES),
        ("", "", "iptables v1.6.0", True, Backend.NFTABLES),
        ("", "", "iptables v1.8.10 (nf_tables)", False, Backend.NFT),
    ],
)
def test_backend_follows_the_host(legacy: str, nft: str, version: str, tool: bool, chosen: Backend) -> None:
    assert choose(HostFilter(legacy, nft, version, tool), "auto") is chosen
    assert choose(HostFilter(legacy, nft, version, tool), "iptables-legacy") is Backend.LEGACY


@pytest.mark.parametrize(
    ("version", "knows"),
    [("iptables v1.6.1", False), ("iptables v1.6.2", True), ("iptables v1.8.9 (nf_tables)", True), ("", True)],
)
def test_random_fully_is_known_since_1_6_2(version: str, knows: bool) -> None:
    assert knows_random_fully(version) is knows


@pytest.mark.parametrize(
    ("legacy", "nft", "chosen", "says"),
    [
        ("", ":KUBE-SERVICES - [0:0]", Backend.NFTABLES, ""),
        (":KUBE-SERVICES - [0:0]", "", Backend.LEGACY, ""),
        ("", "", Backend.LEGACY, ""),
        (":KUBE-SERVICES - [0:0]", ":KUBE-FORWARD - [0:0]", Backend.NFT, "in iptables-legacy and in iptables-nft"),
        ("", ":KUBE-FORWARD - [0:0]", Backend.LEGACY, "ours is iptables-legacy"),
        (":KUBE-FORWARD - [0:0]", "", Backend.NFTABLES, "are in iptables-legacy"),
    ],
)
def test_a_mixture_of_packet_filters_is_told(legacy: str, nft: str, chosen: Backend, says: str) -> None:
    told = mixture(HostFilter(legacy=legacy, nft=nft, version="", nft_tool=True), chosen)
    assert (says in told) if says else not told

"""Checkpoint text, restore rules, names, CNI result, comparison with inventories, settings."""

from __future__ import annotations

import json

import pytest
from vpccni_api.reasons import Reason, ReasonError
from vpccni_ipam import settings
from vpccni_ipam.domain.checkpoint import Ledger, decode
from vpccni_ipam.domain.eni_numbers import route_table
from vpccni_ipam.domain.host_veth import host_veth, name_hash
from vpccni_ipam.domain.model import (
    Assignment,
    Cooling,
    EniFacts,
    EniState,
    Inventory,
    Moment,
    PodIdentity,
    PodKey,
    Source,
    Wiring,
)
from vpccni_ipam.domain.pool import Pool
from vpccni_ipam.domain.reconcile import additions, compare, differs
from vpccni_ipam.domain.restore import ObservedPod, other_keys, rebuild, split_stale, with_wiring
from vpccni_ipam.domain.result import CniResult, ResultInterface, ResultIp, compose, kept_facts
from vpccni_ipam.load_settings import load

NOW = Moment(1000.0, 1_700_000_000.0)
KEY = PodKey("aws-cni", "0a1b", "eth0")
WEB = PodIdentity("default", "web-0", "u1")

ORIGINALS = (
    b'{"version":"vpc-cni-ipam/1","allocations":[{"networkName":"aws-cni","containerID":"0a1b","ifName":"eth0",'
    b'"ipv4":"10.0.1.7","allocationTimestamp":1700000000000000000,"metadata":{"k8sPodNamespace":"default",'
    b'"k8sPodName":"web-0","interfacesCount":1}},{"networkName":"aws-cni","containerID":"0c","ifName":"eth0",'
    b'"ipv6":"2001:db8::3","allocationTimestamp":1,"metadata":{}}]}\n'
)


def item(address: str = "10.0.1.7", key: PodKey = KEY, pod: PodIdentity = WEB) -> Assignment:
    return Assignment(key, pod, Wiring("eniabc", "/run/netns/x", 1500), address, 1_700_000_000 * 10**9, "eni-1", 1, 2)


def test_a_checkpoint_of_the_original_is_read() -> None:
    found = decode(ORIGINALS, NOW, 30)
    assert found.cooling == ()
    assert [(a.key, a.address, a.pod) for a in found.assignments] == [
        (KEY, "10.0.1.7", PodIdentity("default", "web-0")),
        (PodKey("aws-cni", "0c", "eth0"), "2001:db8::3", PodIdentity()),
    ]


def test_what_we_write_has_the_originals_members_and_reads_back_whole() -> None:
    ledger = Ledger()
    ledger.put(item())
    ledger.cool(Cooling("10.0.1.9", NOW.unix - 10, 0, "eni-1"))
    text = ledger.render()
    entry = json.loads(text)["allocations"][0]
    assert {k: v for k, v in entry.items() if k != "vpccni"} == json.loads(ORIGINALS)["allocations"][0]
    assert text.endswith(b"\n")
    found = decode(text, NOW, 30)
    assert found.assignments == (item(),)
    assert [(c.address, c.until, c.eni_id) for c in found.cooling] == [("10.0.1.9", 1020.0, "eni-1")]


def test_an_empty_checkpoint_lists_nothing() -> None:
    assert json.loads(Ledger().render())["allocations"] == []


@pytest.mark.parametrize(
    ("released_ago", "left"), [(10, 20), (31, None), (-500, 30)], ids=["goes on", "over", "clock jumped back"]
)
def test_cooldown_goes_on_over_a_restart(released_ago: float, left: float | None) -> None:
    ledger = Ledger()
    ledger.cool(Cooling("10.0.1.9", NOW.unix - released_ago, 0))
    found = decode(ledger.render(), NOW, 30).cooling
    assert [c.until - NOW.mono for c in found] == ([] if left is None else [left])


CORRUPT = [
    b"",
    b"{",
    b"[]",
    b'{"version":"vpc-cni-ipam/2","allocations":[]}',
    b'{"version":"vpc-cni-ipam/1","allocations":[{"networkName":"n"}]}',
    b'{"version":"vpc-cni-ipam/1","allocations":"x"}',
    b'{"version":"vpc-cni-ipam/1","allocations":[],"vpccni":{"cooling":[{"ip":"10.0.0.1"}]}}',
    ORIGINALS.replace(b"2001:db8::3", b"10.0.1.7"),
    ORIGINALS.replace(b'"0c"', b'"0a1b"'),
    b"\xff\xfe\x00",
]


@pytest.mark.parametrize("text", CORRUPT, ids=range(len(CORRUPT)))
def test_what_cannot_be_trusted_is_corrupt(text: bytes) -> None:
    with pytest.raises(ReasonError) as caught:
        decode(text, NOW, 30)
    assert caught.value.reason is Reason.STORE_CORRUPT


def test_records_without_a_host_link_are_stale_whatever_the_links_prefix() -> None:
    named = with_wiring(Assignment(KEY, WEB, Wiring(""), "10.0.1.7", 0), "eni")
    unnamed = Assignment(PodKey("n", "c", "eth0"), PodIdentity(), Wiring(""), "10.0.1.8", 0)
    suffix = named.wiring.host_veth[-11:]
    assert split_stale([named, unnamed], frozenset({"eth0", "vlan" + suffix})) == ((named, unnamed), ())
    assert split_stale([named, unnamed], frozenset({"eth0"})) == ((unnamed,), (named,))


def test_rebuilt_records_are_found_by_the_name_of_the_pods_link() -> None:
    veth = host_veth("eni", WEB, KEY)
    (made,) = rebuild([ObservedPod(veth, "10.0.1.7", 2), ObservedPod("", "10.0.1.8", 254)], NOW)
    assert (made.address, made.route_table) == ("10.0.1.7", 2)
    assert made.key in other_keys(KEY, veth)
    assert PodKey("_migrated-from-cri", "0a1b", "unknown") in other_keys(KEY, veth)


VETHS = [
    ("kube-system", "coredns-57ff979f67-qqbdh", "b5faff8a083"),
    ("kube-system", "coredns-57ff979f67-8ns9b", "9571956a6cc"),
    ("default", "sample-pod", "cc21c2d7785"),
]


@pytest.mark.parametrize(("namespace", "name", "suffix"), VETHS)
def test_host_link_names(namespace: str, name: str, suffix: str) -> None:
    assert host_veth("eni", PodIdentity(namespace, name), KEY) == "eni" + suffix


def test_hash_of_a_further_card_and_of_sandboxes_that_are_no_pods() -> None:
    assert name_hash("default.sample-pod.1") == "a0b7655f3c9"
    nobody = PodIdentity()
    assert host_veth("eni", nobody, KEY) != host_veth("eni", nobody, PodKey("aws-cni", "other", "eth0"))


@pytest.mark.parametrize(("device", "card", "table"), [(0, 0, 254), (1, 0, 2), (1, 1, 10101), (3, 2, 10203), (7, 0, 8)])
def test_route_tables(device: int, card: int, table: int) -> None:
    assert route_table(device, card) == table


def test_result_of_a_pod_on_a_secondary_eni() -> None:
    pod = PodIdentity("default", "sample-pod")
    made = Assignment(
        KEY, pod, Wiring("enicc21c2d7785", "/var/run/netns/x"), "10.0.2.33", 0, device_number=2, route_table=3
    )
    result = compose(made)
    assert result == CniResult(
        (
            ResultInterface("enicc21c2d7785"),
            ResultInterface("eth0", "3", "/var/run/netns/x"),
            ResultInterface("dummycc21c2d7785", "0", "2"),
        ),
        (ResultIp("10.0.2.33/32", 1),),
    )
    facts = kept_facts(result, pod, KEY)
    assert facts is not None
    assert (facts.host_veth, facts.address, facts.route_table, facts.vlan_id) == ("enicc21c2d7785", "10.0.2.33", 3, 0)


def test_kept_results_of_other_makes() -> None:
    pod = PodIdentity("default", "sample-pod")
    host, box, dummy = (
        ResultInterface("enicc21c2d7785"),
        ResultInterface("eth0", "", "/ns"),
        ResultInterface("dummycc21c2d7785", "0", "5"),
    )
    ip = (ResultIp("10.0.2.33/32", 1),)
    old = kept_facts(CniResult((host, box, dummy), ip), pod, KEY)
    assert old is not None and old.route_table == 6  # before 1.20 the container entry had no table
    egress = (ResultInterface("v6if0", "", ""), ResultInterface("v6if0", "", "/ns"))
    assert kept_facts(CniResult((host, box, dummy, *egress), ip), pod, KEY) == old
    for broken in (
        CniResult((host, box), ip),
        CniResult((host, box, dummy), ()),
        CniResult((host, ResultInterface("eth0", "x", "/ns"), dummy), ip),
        CniResult((host, box, ResultInterface(dummy.name, "xxx", "5")), ip),
    ):
        assert kept_facts(broken, pod, KEY) is None


def pool_of(*ips: str) -> Pool:
    pool = Pool(30)
    pool.add_eni(EniFacts("eni-0", is_primary=True), 254, EniState.USABLE, NOW)
    pool.add_addresses("eni-0", ips)
    return pool


def listed(source: Source, *ips: str, eni: str = "eni-0", managed: bool = True) -> Inventory:
    return Inventory((EniFacts(eni, secondary_ips=ips, is_primary=True, managed=managed),), source)


def test_nothing_is_gone_on_one_sources_word() -> None:
    pool = pool_of("10.0.0.1", "10.0.0.2")
    assert differs(pool, listed(Source.IMDS, "10.0.0.1"))
    assert not differs(pool, listed(Source.IMDS, "10.0.0.2", "10.0.0.1"))
    only_imds = compare(pool, listed(Source.IMDS, "10.0.0.1"), listed(Source.EC2, "10.0.0.1", "10.0.0.2"))
    only_ec2 = compare(pool, listed(Source.IMDS, "10.0.0.1", "10.0.0.2"), listed(Source.EC2, "10.0.0.1"))
    both = compare(pool, listed(Source.IMDS, "10.0.0.1"), listed(Source.EC2, "10.0.0.1"))
    assert not only_imds and not only_ec2
    assert [(c.eni_id, c.ips) for c in both.gone] == [("eni-0", ("10.0.0.2",))]


def test_enis_go_by_the_word_of_both_or_by_their_tag_and_come_by_ec2s() -> None:
    pool = pool_of("10.0.0.1")
    other = listed(Source.IMDS, "10.0.9.1", eni="eni-9"), listed(Source.EC2, "10.0.9.1", eni="eni-9")
    changes = compare(pool, *other)
    assert changes.gone_enis == ("eni-0",)
    assert [eni.eni_id for eni in changes.new_enis] == ["eni-9"]
    assert compare(pool, listed(Source.IMDS, "10.0.0.1"), other[1]).gone_enis == ()
    unmanaged = listed(Source.EC2, "10.0.0.1", managed=False)
    assert compare(pool, listed(Source.IMDS, "10.0.0.1"), unmanaged).gone_enis == ("eni-0",)


TRUTH = [
    # Case, what IMDS shows, what EC2 shows, the ENI that is gone, addresses that are gone.
    ("87", ("10.0.0.1",), ("10.0.0.1",), (), ("10.0.0.2",)),
    ("89", ("10.0.0.1",), ("10.0.0.1", "10.0.0.2"), (), ()),
    # On purpose other than the original, which trusts IMDS here: EC2 still has the ENI.
    ("92", None, ("10.0.0.1", "10.0.0.2"), (), ()),
    ("92, and EC2 agrees", None, None, ("eni-0",), ()),
    ("EC2's describe lags", ("10.0.0.1", "10.0.0.2"), ("10.0.0.1",), (), ()),
]


@pytest.mark.parametrize(("imds", "ec2", "enis", "ips"), [c[1:] for c in TRUTH], ids=[c[0] for c in TRUTH])
def test_who_is_believed(
    imds: tuple[str, ...] | None, ec2: tuple[str, ...] | None, enis: tuple[str, ...], ips: tuple[str, ...]
) -> None:
    """Cases 88 and 90 (a source that does not answer changes nothing) are the caller's: no answer, no comparison."""
    seen = [
        listed(source, *shown) if shown is not None else Inventory((), source)
        for source, shown in ((Source.IMDS, imds), (Source.EC2, ec2))
    ]
    found = compare(pool_of("10.0.0.1", "10.0.0.2"), seen[0], seen[1])
    assert found.gone_enis == enis
    assert tuple(ip for change in found.gone for ip in change.ips) == ips


def test_additions_leave_out_unmanaged_and_efa_only_enis_and_those_on_their_way_out() -> None:
    pool = pool_of("10.0.0.1")
    efa = EniFacts("eni-3", interface_type="efa-only")
    foreign, second_card = EniFacts("eni-4", managed=False), EniFacts("eni-5", network_card=1)
    trunk = EniFacts("eni-6", interface_type="trunk", secondary_ips=("10.0.6.1",))
    pool.add_eni(trunk, 7, EniState.USABLE, NOW)
    assert not differs(pool, Inventory((trunk, EniFacts("eni-0", secondary_ips=("10.0.0.1",))), Source.EC2))
    found = additions(
        pool,
        Inventory(
            (efa, foreign, second_card, trunk, EniFacts("eni-0", secondary_ips=("10.0.0.1", "10.0.0.5"))), Source.EC2
        ),
    )
    assert found.new_enis == ()
    assert [(c.eni_id, c.ips) for c in found.added] == [("eni-0", ("10.0.0.5",))]
    pool.set_state("eni-0", EniState.RELEASING)
    assert not additions(pool, listed(Source.EC2, "10.0.0.1", "10.0.0.5"))


IMPOSSIBLE = [
    ({"ENABLE_IPv6": "true", "ENABLE_PREFIX_DELEGATION": "true"}, ["dual stack"]),
    ({"ENABLE_IPv4": "false"}, ["set one of them to true"]),
    ({"ENABLE_IPv4": "false", "ENABLE_IPv6": "true"}, ["needs prefix delegation"]),
    (
        {"ENABLE_IPv6": "true", "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG": "true"},
        ["dual stack", "needs prefix delegation", "not supported together"],
    ),
    ({"ENABLE_PREFIX_DELEGATION": "true", "WARM_PREFIX_TARGET": "0"}, ["WARM_PREFIX_TARGET, WARM_IP_TARGET"]),
]


@pytest.mark.parametrize(("environ", "texts"), IMPOSSIBLE)
def test_combinations_that_cannot_work_are_all_named(environ: dict[str, str], texts: list[str]) -> None:
    with pytest.raises(ReasonError) as caught:
        load(environ)
    assert caught.value.reason is Reason.CONFIG_INVALID
    for text in texts:
        assert text in caught.value.message


def test_defaults_and_malformed_values() -> None:
    plain = load({})
    assert (plain.targets.warm_eni, plain.targets.warm_ip, plain.targets.prefixes) == (1, 0, False)
    assert plain.host.connmark == 0x80 and plain.host.veth_prefix == "eni" and plain.host.eni_mtu == 9001
    odd = load(
        {
            "WARM_ENI_TARGET": "many",
            "WARM_IP_TARGET": "-5",
            "AWS_VPC_K8S_CNI_CONNMARK": "0x0",
            "AWS_VPC_K8S_CNI_VETHPREFIX": "vlan",
            "AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS": "10.0.0.0, 10.2.0.0/15",
            "AWS_VPC_ENI_MTU": "9002",
        }
    )
    assert (odd.targets.warm_eni, odd.targets.warm_ip) == (1, 0)
    assert odd.host.exclude_snat_cidrs == ("10.2.0.0/15",)
    assert {bad.name for bad in odd.bad} == {
        "WARM_ENI_TARGET",
        "AWS_VPC_K8S_CNI_CONNMARK",
        "AWS_VPC_K8S_CNI_VETHPREFIX",
        "AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS",
        "AWS_VPC_ENI_MTU",
    }


def test_the_checkpoints_path_can_be_moved_by_either_name() -> None:
    assert load({"AWS_VPC_K8S_CNI_BACKING_STORE": "/a"}).checkpoint == "/a"
    assert load({"AWS_VPC_K8S_CNI_BACKING_STORE": "/a", "VPCCNI_CHECKPOINT": "/b"}).checkpoint == "/b"


def test_every_variable_is_declared_once() -> None:
    names = [setting.name for setting in settings.SETTINGS]
    assert len(names) == len(set(names)) > 40

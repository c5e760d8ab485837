"""Random desired states and random damage on a model kernel: one repair converges, and on the way no pod loses its route."""

from __future__ import annotations

import dataclasses

from hypothesis import given, settings
from hypothesis import strategies as st
from netconf_model import ModelKernel, ModelNamespace
from vpccni_api.reasons import Reason, ReasonError
from vpccni_netconf.apply_eni import apply_eni
from vpccni_netconf.apply_host import apply_host
from vpccni_netconf.apply_pods import apply_pods
from vpccni_netconf.desired import Desired
from vpccni_netconf.domain.names import host_cidr
from vpccni_netconf.domain.objects import Address, Link, LinkFacts, Object, Route, Rule, VlanLink
from vpccni_netconf.domain.ops import Ensure, Op, Remove
from vpccni_netconf.domain.plan_pod import links_of, plan_pod_host
from vpccni_netconf.domain.spec import BranchSpec, EgressSpec, EniSpec, HostSpec, PodSpec
from vpccni_netconf.repair import repair
from vpccni_netconf.setup_pod import setup_pod
from vpccni_netconf.teardown_pod import teardown_pod

TRUNK_MAC = "02:00:00:00:09:14"
LINKS = (
    LinkFacts(2, "eth0", "02:00:00:00:01:0a", 1500),
    LinkFacts(3, "eth1", "02:00:00:00:02:14", 1500, up=False),
    LinkFacts(4, "eth2", "02:00:00:00:03:14", 1500, up=False),
    LinkFacts(5, "eth9", TRUNK_MAC, 9001),
)
BUILT_IN = (Rule(4, 0, 255), Rule(4, 32766, 254), Rule(4, 32767, 253), Rule(6, 0, 255), Rule(6, 32766, 254))
FOREIGN: tuple[Object, ...] = (
    Rule(4, 512, 254, src="10.9.0.0/16", dst="10.0.1.99/32"),
    Rule(4, 700, 254, dst="10.0.1.99/32"),
    Rule(4, 1024, 254, fwmark=0x4000, fwmask=0x4000),
    Route(254, "10.77.0.0/16", "eth0"),
    Route(9, "10.0.5.0/24", "eth0"),
)


KINDS = ["rule", "route", "address", "link", "duplicate", "steal", "extra", "connected", "flush", "unlink", "sysctl"]


def eni(number: int) -> EniSpec:
    return EniSpec(
        f"eni-{number}",
        f"02:00:00:00:0{number + 1}:14",
        f"10.0.{number + 1}.20",
        f"10.0.{number + 1}.0/24",
        number,
        0,
        number + 1,
        9001,
    )


def pod(number: int, device: int) -> PodSpec:
    return PodSpec(
        container_id=f"c{number}",
        ifname="eth0",
        netns=f"/ns/{number}",
        host_veth=f"eni{number:011x}",
        address=f"10.0.{device + 1}.{100 + number}",
        route_table=device + 1 if device else 254,
    )


def branch_pod(number: int, *, strict: bool) -> PodSpec:
    mac = f"02:00:00:00:07:{number:02x}"
    branch = BranchSpec(number + 1, mac, "10.0.9.0/24", "10.0.9.1", TRUNK_MAC, strict)
    veth = f"{'vlan' if strict else 'eni'}{number + 50:011x}"
    return PodSpec(f"b{number}", "eth0", f"/ns/b{number}", veth, f"10.0.9.{100 + number}", branch=branch)


def egress_of(spec: PodSpec, number: int) -> PodSpec:
    """The pod with an egress link for the other family."""
    address = f"fd00::ac:{number + 10:x}" if spec.family == 4 else f"169.254.172.{number + 10}"
    macs = (f"02:00:00:00:0e:{number:02x}", f"02:00:00:00:0d:{number:02x}")
    return dataclasses.replace(spec, egress=EgressSpec(address, f"veth{number:08x}", *macs))


def pod6(number: int) -> PodSpec:
    return PodSpec(f"s{number}", "eth0", f"/ns/s{number}", f"eni{number + 80:011x}", f"2001:db8::{number + 1:x}")


@st.composite
def nodes(draw: st.DrawFn) -> tuple[ModelKernel, Desired, list[PodSpec]]:
    kernel = ModelKernel(*LINKS)
    kernel.node.rules += BUILT_IN
    for item in FOREIGN:
        kernel.node.attempt([Ensure(item)])
    desired = Desired()
    spec = HostSpec(
        "02:00:00:00:01:0a",
        "10.0.1.10",
        ("10.0.0.0/16",),
        node_port_support=draw(st.booleans()),
        external_snat=draw(st.booleans()),
        external_service_cidrs=draw(st.sampled_from([(), ("192.0.2.0/24",)])),
    )
    assert apply_host(kernel, desired, spec) is not None
    enis = draw(st.integers(0, 2))
    for number in range(1, enis + 1):
        assert apply_eni(kernel, desired, eni(number)) is not None
    pods = [pod(n, draw(st.integers(0, enis))) for n in range(draw(st.integers(0, 5)))]
    pods += [branch_pod(n, strict=draw(st.booleans())) for n in range(draw(st.integers(0, 2)))]
    pods += [pod6(n) for n in range(draw(st.integers(0, 2)))]
    pods = [egress_of(one, n) if draw(st.booleans()) else one for n, one in enumerate(pods)]
    for one in pods:
        assert setup_pod(kernel, desired, one).changes
    return kernel, desired, pods


@st.composite
def damages(draw: st.DrawFn, kernel: ModelKernel) -> None:
    """A few things that an operator or another program does."""
    node = kernel.node
    for _ in range(draw(st.integers(0, 8))):
        kind = draw(st.sampled_from(KINDS))
        match kind:
            case "rule" if node.rules:
                node.rules.remove(draw(st.sampled_from(node.rules)))
            case "route" if node.routes:
                node.routes.remove(draw(st.sampled_from(node.routes)))
            case "address" if node.addresses:
                node.remove(draw(st.sampled_from(node.addresses)))
            case "link":
                name = draw(st.sampled_from(sorted(node.links)))
                node.set_link(Link(name, up=draw(st.booleans()), mtu=draw(st.sampled_from([0, 1500]))))
            case "duplicate" if node.rules:
                node.rules.append(draw(st.sampled_from(node.rules)))
            case "steal" if node.routes:
                victim = draw(st.sampled_from(node.routes))
                thief = dataclasses.replace(victim, dev="eth0", gateway="")
                node.routes = [thief if route == victim else route for route in node.routes]
            case "extra":
                dev = draw(st.sampled_from(["eth1", "eth2"]))
                number = dev[-1]
                node.attempt([Ensure(Address(dev, f"10.0.{int(number) + 1}.{draw(st.integers(200, 202))}/24"))])
            case "connected":
                dev = draw(st.sampled_from(["eth1", "eth2"]))
                node.attempt(
                    [Ensure(Route(254, f"10.0.{int(dev[-1]) + 1}.0/24", dev, prefsrc=f"10.0.{int(dev[-1]) + 1}.20"))]
                )
            case "flush":
                node.rules = [rule for rule in node.rules if rule.priority == 0]
            case _:
                _damage_links(draw, node, kind)


def _damage_links(draw: st.DrawFn, node: ModelNamespace, kind: str) -> None:
    match kind:
        case "unlink":
            names = [name for name in sorted(node.links) if not name.startswith("eth")]
            if names:
                node.delete_link(node.link_index(draw(st.sampled_from(names))))
        case "sysctl" if node.sysctls:
            node.sysctls[draw(st.sampled_from(sorted(node.sysctls)))] = "7"
        case _:
            pass


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_one_repair_converges_and_keeps_every_route_that_was_there(data: st.DataObject) -> None:
    kernel, desired, pods = data.draw(nodes())
    assert repair(kernel, desired).mended == (), "nothing to do right after set-up"
    data.draw(damages(kernel))
    held = {
        item
        for one in pods
        if one.host_veth in kernel.node.links  # else it is wired anew
        for item in plan_pod_host(one, trunk_link="eth9")
        if isinstance(item, Rule | Route) and kernel.node.holds(item)
    }
    foreign = [item for item in FOREIGN if kernel.node.holds(item)]

    def nothing_lost(node: ModelNamespace) -> None:
        lost = {item for item in held if not node.holds(item)}
        assert not lost, f"lost on the way: {lost}"
        assert all(node.holds(item) for item in foreign), "somebody else's object was touched"

    kernel.node.watch = nothing_lost
    repair(kernel, desired)
    kernel.node.watch = lambda _: None
    assert repair(kernel, desired).mended == (), "a second look finds nothing"
    for one in pods:
        for item in plan_pod_host(one, trunk_link="eth9"):
            assert isinstance(item, Link | VlanLink) or kernel.node.holds(item), item


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_apply_pods_leaves_exactly_the_listed_pods(data: st.DataObject) -> None:
    kernel, desired, pods = data.draw(nodes())
    data.draw(damages(kernel))
    listed = [one for one in pods if data.draw(st.booleans())]
    routed = {route.dev for route in kernel.node.routes}  # by its route alone an egress link is known to be one
    fresh = Desired()
    fresh.host = desired.host
    apply_pods(kernel, fresh, kernel, listed)
    again = apply_pods(kernel, fresh, kernel, listed)
    assert again.changes == 0
    assert set(again.missing_links) == {one.host_veth for one in listed} - set(kernel.node.links)
    there = {link for link in kernel.node.links if not link.startswith("veth") or link in routed}
    assert {link for link in there if not link.startswith("eth")} == {
        n for one in listed for n in links_of(one)
    } & there
    wired = [one for one in listed if one.host_veth in there]
    by_main = {host_cidr(one.address) for one in wired if one.branch is None or not one.branch.strict}
    assert {r.dst for r in kernel.node.routes if r.table == 254 and r.dev.startswith(("eni", "vlan"))} == by_main
    egress = {
        host_cidr(one.egress.address) for one in listed if one.egress and one.egress.host_veth in kernel.node.links
    }
    assert {r.dst for r in kernel.node.routes if r.dev.startswith("veth")} == egress
    assert {rule.dst for rule in kernel.node.rules if rule.priority == 512 and not rule.src} >= by_main


def test_a_pod_whose_table_is_not_known_keeps_its_rule() -> None:
    """After a restore from a checkpoint that did not have it."""
    kernel, desired = ModelKernel(*LINKS), Desired()
    kernel.node.rules += BUILT_IN
    assert apply_eni(kernel, desired, eni(1)) is not None
    one = pod(1, 1)
    setup_pod(kernel, desired, one)
    rules = list(kernel.node.rules)
    fresh = Desired()
    assert apply_pods(kernel, fresh, kernel, [dataclasses.replace(one, route_table=0)]).changes == 0
    assert kernel.node.rules == rules and fresh.pods[one.host_veth].spec.route_table == 2
    assert repair(kernel, fresh).mended == ()


def test_a_new_owner_of_an_address_and_a_late_del_of_the_old() -> None:
    """The old pod's DEL never came, or comes after its address was given to another."""
    kernel, desired = ModelKernel(*LINKS), Desired()
    kernel.node.rules += BUILT_IN
    assert apply_eni(kernel, desired, eni(1)) is not None
    old = pod(1, 1)
    new = dataclasses.replace(pod(2, 0), address=old.address)
    setup_pod(kernel, desired, old)
    setup_pod(kernel, desired, new)
    assert repair(kernel, desired).mended == (), "the two do not undo each other"
    assert kernel.node.holds(Route(254, f"{old.address}/32", new.host_veth))
    assert teardown_pod(kernel, desired, kernel, old) == 1, "its link, nothing else"
    assert repair(kernel, desired).mended == ()
    assert all(kernel.node.holds(item) for item in plan_pod_host(new) if isinstance(item, Route | Rule))


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_teardown_of_all_pods_leaves_what_was_before(data: st.DataObject) -> None:
    kernel, desired, pods = data.draw(nodes())
    for one in data.draw(st.permutations(pods)):
        assert teardown_pod(kernel, desired, kernel, one) > 0
        assert teardown_pod(kernel, desired, kernel, one) == 0
    addresses = {host_cidr(address) for one in pods for address in one.addresses}
    assert not [rule for rule in kernel.node.rules if rule.src in addresses or rule.dst in addresses]
    assert not [route for route in kernel.node.routes if route.dst in addresses]
    assert set(kernel.node.links) == {"eth0", "eth1", "eth2", "eth9"}
    assert not desired.pods and repair(kernel, desired).mended == ()


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_failing_step_of_a_set_up_undoes_the_others(data: st.DataObject) -> None:
    """Whatever op the kernel refuses, the node is as before and the pod has no interface."""
    kernel, desired, _ = data.draw(nodes())
    one = pod(77, 0)
    if data.draw(st.booleans()):
        one = egress_of(one, 77)
    before = (list(kernel.node.rules), list(kernel.node.routes), sorted(kernel.node.links))
    inside = ModelNamespace(peer=kernel.node)
    kernel.pods[one.netns] = inside
    steps = data.draw(st.integers(1, 5))
    refuse_after(inside, steps)
    try:
        setup_pod(kernel, desired, one)
    except RefusedError:
        assert (kernel.node.rules, kernel.node.routes, sorted(kernel.node.links)) == before
        assert one.host_veth not in desired.pods
        assert not inside.links
    else:
        raise AssertionError("the kernel refused and nobody said so")


class RefusedError(ReasonError):
    def __init__(self) -> None:
        super().__init__(Reason.KERNEL_REFUSED, "by the model")


def refuse_after(namespace: ModelNamespace, steps: int) -> None:
    left = steps

    def refuse(_: Op) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise RefusedError

    namespace.before = refuse


def test_remove_of_a_rule_takes_one_of_several_equal_ones() -> None:
    node = ModelNamespace()
    rule = Rule(4, 512, 254, dst="10.0.0.1/32")
    node.rules += [rule, rule]
    node.attempt([Remove(rule)])
    assert node.rules == [rule]

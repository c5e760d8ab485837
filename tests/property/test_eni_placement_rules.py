"""Whatever is attached and whatever is asked: a plan never breaks a limit and never touches what is not ours."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st
from vpccni_api.reasons import Reason
from vpccni_eni_manager.domain import bucket, merge_imds_ec2
from vpccni_eni_manager.domain.merge_imds_ec2 import told_by_change
from vpccni_eni_manager.domain.model import AddressMode, Eni, Growth, InstanceLimits, Inventory, NetworkCard, Source
from vpccni_eni_manager.domain.placement import Assign, CreateEni, Refuse, plan_growth

CARDS = st.integers(0, 2)


@st.composite
def limits(draw: st.DrawFn) -> InstanceLimits:
    per_card = draw(st.integers(1, 8))
    cards = tuple(NetworkCard(index, per_card) for index in range(draw(st.integers(1, 3))))
    return InstanceLimits(
        max_enis=per_card,
        ipv4_per_eni=draw(st.integers(1, 12)),
        ipv6_per_eni=draw(st.integers(1, 12)),
        cards=cards,
        hypervisor=draw(st.sampled_from(["nitro", "xen", "unknown"])),
    )


@st.composite
def enis(draw: st.DrawFn, maximum: int = 8) -> tuple[Eni, ...]:
    found = []
    for number in range(draw(st.integers(0, maximum))):
        addresses = draw(st.integers(0, 11))
        found.append(
            Eni(
                eni_id=f"eni-{number}",
                device_number=draw(st.integers(0, 5)),
                network_card=draw(CARDS),
                subnet_id=draw(st.sampled_from(["s1", "s2"])),
                secondary_ips=tuple(f"10.0.{number}.{host}" for host in range(addresses)),
                ipv4_prefixes=("10.9.0.0/28",) * draw(st.integers(0, 2)),
                ipv6_prefixes=("2001:db8::/80",) * draw(st.integers(0, 1)),
                managed=draw(st.booleans()),
                excluded_why=draw(st.sampled_from(["", "", "tag"])),
                interface_type=draw(st.sampled_from(["interface", "interface", "trunk", "efa", "efa-only"])),
                status=draw(st.sampled_from(["attached", "attached", "attaching", "detaching"])),
                is_primary=number == 0,
            )
        )
    return tuple(found)


growths = st.builds(
    Growth,
    mode=st.sampled_from(AddressMode),
    want=st.integers(1, 40),
    whole_eni=st.booleans(),
    max_enis=st.integers(0, 10),
    reserved_enis=st.integers(0, 2),
    network_card=CARDS,
    excluded_enis=st.frozensets(st.sampled_from([f"eni-{n}" for n in range(8)]), max_size=3),
    may_create_eni=st.booleans(),
)


def apply(held: tuple[Eni, ...], plan: Assign | CreateEni, growth: Growth) -> tuple[Eni, ...]:
    """The instance after the plan."""
    fresh = tuple(f"192.0.2.{n}" for n in range(plan.count))
    prefix = growth.mode is not AddressMode.SECONDARY_IP
    if isinstance(plan, CreateEni):
        made = Eni(eni_id=f"new-{len(held)}", device_number=plan.device_index, network_card=plan.network_card)
        target, rest = made, held
    else:
        target, rest = plan.eni, tuple(eni for eni in held if eni.eni_id != plan.eni.eni_id)
    if growth.mode is AddressMode.PREFIX_IPV6:
        grown = dataclasses.replace(target, ipv6_prefixes=target.ipv6_prefixes + fresh)
    elif prefix:
        grown = dataclasses.replace(target, ipv4_prefixes=target.ipv4_prefixes + fresh)
    else:
        grown = dataclasses.replace(target, secondary_ips=target.secondary_ips + fresh)
    return (*rest, grown)


@given(enis(), limits(), growths)
def test_a_plan_keeps_every_rule(held: tuple[Eni, ...], known: InstanceLimits, growth: Growth) -> None:
    plan = plan_growth(Inventory(enis=held, source=Source.EC2, generation=1), known, growth)
    if isinstance(plan, Refuse):
        assert plan.message
        return
    assert plan.count >= 1
    if isinstance(plan, Assign):
        assert plan.eni.managed and plan.eni.status == "attached" and plan.eni.interface_type == "interface"
        assert plan.eni.network_card == growth.network_card and not plan.eni.excluded_why
        assert plan.eni.eni_id not in growth.excluded_enis
        assert plan.count <= growth.want
    else:
        on_card = [eni for eni in held if eni.network_card == growth.network_card]
        assert growth.may_create_eni
        assert len(on_card) + 1 + growth.reserved_enis <= known.enis_on_card(growth.network_card)
        assert not growth.max_enis or len(on_card) + 1 + growth.reserved_enis <= growth.max_enis
        assert plan.device_index not in {eni.device_number for eni in on_card}
    grown = apply(held, plan, growth)[-1]
    if growth.mode is AddressMode.PREFIX_IPV6:
        assert len(grown.ipv6_prefixes) == 1
    else:
        assert grown.ipv4_slots_used <= known.ipv4_slots


@given(limits(), growths)
def test_repeated_steps_fill_the_instance_and_then_stop(known: InstanceLimits, growth: Growth) -> None:
    """Liveness: step after step ends with ENI_LIMIT, and every slot that may be used is used."""
    growth = dataclasses.replace(
        growth, network_card=0, excluded_enis=frozenset(), may_create_eni=True, mode=AddressMode.SECONDARY_IP
    )
    held: tuple[Eni, ...] = (Eni(eni_id="eni-0", is_primary=True),)
    for _ in range(known.max_enis * (known.ipv4_per_eni + 1) + 2):
        plan = plan_growth(Inventory(enis=held, source=Source.EC2, generation=1), known, growth)
        if isinstance(plan, Refuse):
            assert plan.reason is Reason.ENI_LIMIT
            break
        held = apply(held, plan, growth)
    else:
        raise AssertionError("never refused")
    assert all(eni.ipv4_slots_used == known.ipv4_slots for eni in held)
    cap = min(growth.max_enis or known.max_enis, known.max_enis) - growth.reserved_enis
    assert len(held) == (max(1, cap) if known.ipv4_slots else 1)


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["assign", "unassign", "unassign, answer lost", "somebody unassigns"]),
        st.integers(0, 9),
        st.floats(0.1, 8),
    ),
    max_size=30,
)


@given(CHANGES, st.floats(0, merge_imds_ec2.LAG_S - 0.5), st.floats(0, 40))
def test_settling_a_late_describe_gives_what_ec2_holds(
    changes: list[tuple[str, int, float]], lag: float, rest: float
) -> None:
    """Describes lag up to ``lag`` seconds. What we know of is right at once, the rest as soon as the describe is."""
    now, truth = 0.0, frozenset[str]()
    history: list[tuple[float, frozenset[str]]] = [(-1000.0, truth)]
    known, told = Eni(eni_id="eni-a"), None
    unknown: dict[str, float] = {}  # address -> when it changed without our knowing
    for kind, host, pause in changes:
        ip = f"10.0.0.{host}"
        if kind == "assign" and ip not in truth:
            truth |= {ip}
            after = dataclasses.replace(known, secondary_ips=tuple(sorted({*known.secondary_ips, ip})))
            told, known = told_by_change(told, known, after, now, added=(ip,)), after
            unknown.pop(ip, None)
        elif kind != "assign" and ip in truth:
            truth -= {ip}
            if kind == "unassign":
                after = dataclasses.replace(known, secondary_ips=tuple(a for a in known.secondary_ips if a != ip))
                told, known = told_by_change(told, known, after, now, removed=(ip,)), after
            else:
                unknown[ip] = now
                if kind == "unassign, answer lost" and told is not None:
                    told = merge_imds_ec2.without_word_on(told, [ip])
        history.append((now, truth))
        now += pause
    now += rest
    shown = next(held for at, held in reversed(history) if at <= now - lag)
    described = Eni(eni_id="eni-a", secondary_ips=tuple(sorted(shown)))
    settled = merge_imds_ec2.settle((described,), {"eni-a": told} if told else {}, now)[0].secondary_ips
    assert len(set(settled)) == len(settled)
    unsure = {ip for ip, at in unknown.items() if now - at < merge_imds_ec2.LAG_S}
    assert set(settled) - unsure == truth - unsure


@given(st.lists(st.tuples(st.sampled_from(["take", "throttle", "ok"]), st.floats(0, 2)), max_size=60))
def test_a_bucket_never_lets_more_out_than_its_ceiling(steps: list[tuple[str, float]]) -> None:
    """Over any such run: calls that went out by time t are at most burst + ceiling * t."""
    state = bucket.fresh(bucket.ApiClass.ENI)
    now, departures = 0.0, []
    for kind, pause in steps:
        now += pause
        if kind == "take":
            state, wait = bucket.take(state, now)
            departures.append(now + wait)
        else:
            state = (bucket.throttled if kind == "throttle" else bucket.succeeded)(state, now)
        assert state.floor <= state.rate <= state.ceiling
        assert state.level <= state.burst
    for count, at in enumerate(sorted(departures), start=1):
        assert count <= state.burst + state.ceiling * at + 1e-6

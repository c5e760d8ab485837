"""The model kernel of the property tests is held to the real one."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from netconf_model import ModelNamespace
from netconf_node import Node
from vpccni_netconf.adapters.kernel import LinuxKernel
from vpccni_netconf.domain.objects import Address, Link, Neighbour, Route, Rule
from vpccni_netconf.domain.ops import Ensure, Op, PurgeRules, Remove
from vpccni_netconf.ports import Query

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

EVERYTHING = Query((4,), rules=True, tables=(254, 7), addresses=True, neighbours=True)
DEVICES = ("m0", "m1")
CIDRS = ("10.5.0.1/32", "10.5.0.2/32", "10.6.0.0/24")


def ops() -> st.SearchStrategy[Op]:
    dev, table = st.sampled_from(DEVICES), st.sampled_from((254, 7))
    address = st.builds(Address, dev, st.sampled_from(("10.6.0.5/24", "10.6.0.6/24", "10.7.0.5/24")))
    rule = st.builds(
        Rule,
        st.just(4),
        st.sampled_from((512, 1536)),
        table,
        src=st.sampled_from(("", "10.5.0.1/32")),
        dst=st.sampled_from(("", "10.5.0.2/32")),
    )
    route = st.one_of(
        st.builds(Route, table, st.sampled_from(CIDRS), dev),
        st.builds(Route, table, st.just("0.0.0.0/0"), dev, gateway=st.sampled_from(("10.5.0.1", "10.6.0.1"))),
    )
    neighbour = st.builds(
        Neighbour, dev, st.just("10.5.0.1"), st.sampled_from(("02:00:00:00:00:01", "02:00:00:00:00:02"))
    )
    link = st.builds(Link, dev, st.booleans(), st.sampled_from((0, 1400)))
    removable = st.one_of(rule, route, address, neighbour)
    return st.one_of(
        removable.map(Ensure),
        link.map(Ensure),
        removable.map(Remove),
        rule.filter(lambda r: r.src or r.dst).map(PurgeRules),
    )


def test_the_model_kernel_behaves_as_the_kernel(node: Node, kernel: LinuxKernel) -> None:
    query = EVERYTHING

    @settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.lists(ops(), max_size=12))
    def run(steps: list[Op]) -> None:
        node.exec("ip", "link", "add", "m0", "type", "veth", "peer", "name", "m1")
        node.exec("ip", "link", "set", "m0", "up")
        node.exec("ip", "link", "set", "m1", "up")

        def body() -> None:
            start = kernel.host.observe(query)
            model = ModelNamespace(*(link for link in start.links if link.name in DEVICES))
            model.rules, model.routes = list(start.rules), list(start.routes)
            for step in steps:
                real, imagined = kernel.host.attempt([step]), model.attempt([step])
                assert bool(real.failures) == bool(imagined.failures), f"{step}: {real} / {imagined}"
                seen, held = kernel.host.observe(query), model.observe(query)
                for part in ("rules", "routes", "addresses", "neighbours"):
                    ours = [i for i in getattr(seen, part) if getattr(i, "dev", "m0") in DEVICES]
                    theirs = [i for i in getattr(held, part) if getattr(i, "dev", "m0") in DEVICES]
                    assert sorted(map(str, ours)) == sorted(map(str, theirs)), f"{part} after {step}"

        try:
            node.run(body)
        finally:
            node.exec("ip", "link", "del", "m0")
            node.run(lambda: kernel.host.apply([PurgeRules(Rule(4, priority, 0)) for priority in (512, 1536)]))

    run()

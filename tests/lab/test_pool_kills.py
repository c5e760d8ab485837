"""kill -9 of ipam at every step of getting and giving back ENIs and addresses; eni-manager (tests/wire/test_eni_faults.py) goes on.

The new ipam starts at once, while the step of the old one is still under way. Afterwards EC2, ipam and netconf agree, every ENI has
its tags, the pods have their addresses, and no address is lost or left over.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable

import pytest
from pool_node import Held, PoolNode, harness, run
from vpccni_lab.ec2.records import Eni

pytestmark = pytest.mark.wire
ANSWER_S = 1.5
"""EC2's answer to the call at which ipam is killed comes that late: the next ipam is there before."""
WHOLE_ENIS = {"WARM_ENI_TARGET": "1"}
ADDRESSES = {"WARM_IP_TARGET": "2"}


@dataclasses.dataclass(frozen=True)
class Change:
    """``steps``: what happens one after the other, calls to EC2 and to netconf. ``environ``: settings. ``before``, ``after``: what
    EC2 holds. ``pods``: there before; ``more``: pod that comes, empty: the last one goes."""

    steps: tuple[str, ...]
    environ: dict[str, str]
    before: Held
    after: Held
    pods: tuple[str, ...]
    more: str = ""


CHANGES = {
    "attach": Change(
        (
            "DescribeSubnets",
            "CreateNetworkInterface",
            "AttachNetworkInterface",
            "ModifyNetworkInterfaceAttribute",
            "DescribeNetworkInterfaces",
            "ApplyEni",
        ),
        WHOLE_ENIS,
        Held(1, 9, 0),
        Held(2, 18, 0),
        (),
        "new",
    ),
    "detach": Change(
        ("RemoveEni", "DescribeNetworkInterfaces", "DetachNetworkInterface", "DeleteNetworkInterface"),
        WHOLE_ENIS,
        Held(2, 18, 0),
        Held(1, 9, 0),
        ("a",),
    ),
    "assign": Change(("AssignPrivateIpAddresses",), ADDRESSES, Held(1, 4, 0), Held(1, 5, 0), ("a", "b"), "new"),
    "unassign": Change(("UnassignPrivateIpAddresses",), ADDRESSES, Held(1, 4, 0), Held(1, 3, 0), ("a", "b")),
}
OF_NETCONF = ("ApplyEni", "RemoveEni")
KILLS = [
    pytest.param(change, step, id=f"{change}: {step}")
    for change, what in CHANGES.items()
    for one in what.steps
    for step in ((one, f"{one} done") if one in OF_NETCONF else (one,))
]


async def begin(node: PoolNode, change: Change) -> Callable[[], Awaitable[object]]:
    """Up to where the change begins; what begins it is returned."""
    if change.pods:
        await node.add_all(list(change.pods))
    await node.holds(change.before)
    node.aws.mark()
    node.netconf.calls.clear()
    return (lambda: node.address(change.more, 30)) if change.more else (lambda: node.delete(change.pods[-1]))


@pytest.mark.parametrize("name", CHANGES)
def test_these_are_all_the_steps(name: str) -> None:
    """What the kills below go through is what an undisturbed run does."""
    change = CHANGES[name]

    async def body(node: PoolNode) -> None:
        await (await begin(node, change))()
        await harness.until(lambda: settled(node, change), lambda: f"{node.held()}\n{node.log()}")
        assert [c.action for c in node.aws.ec2.calls.recent()] == [s for s in change.steps if s not in OF_NETCONF]
        assert [c for c in node.netconf.calls if c in OF_NETCONF] == [s for s in change.steps if s in OF_NETCONF]

    run(body, **change.environ)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "step"), KILLS)
def test_killed_at_any_step(name: str, step: str) -> None:
    change = CHANGES[name]

    async def body(node: PoolNode) -> None:
        start = await begin(node, change)
        held = dict(node.stored())
        reached = hold(node, step)
        await start()
        await harness.until(reached, lambda: f"{step} is not reached\n{node.log()}")
        await node.kill()
        node.aws.ec2.faults.clear()
        await node.start()
        await harness.until(lambda: settled(node, change), lambda: f"{node.held()}\n{node.log()}", 60)
        assert all(marks(node, eni) for eni in node.attached())
        now = node.stored()
        gone = () if change.more else change.pods[-1:]
        assert {pod: held[pod] for pod in held if pod.removeprefix("c-") not in gone}.items() <= now.items()
        assert len(set(now.values())) == len(now) == len(change.pods) + (1 if change.more else -1)

    run(body, **change.environ)


async def settled(node: PoolNode, change: Change) -> bool:
    """Nothing is under way any more; EC2 holds what it should and nothing beside it, and ipam and netconf know just that."""
    if node.held() != change.after or len(node.aws.enis()) != change.after.enis or node.eni.journal() != []:
        return False
    listed = {a.address for e in (await node.inspect()).enis for c in e.cidrs for a in c.addresses}
    secondary = {eni.id for eni in node.attached()} - {node.aws.ec2.primary_eni(node.aws.node.id).id}
    return listed == {ip for eni in node.attached() for ip in eni.secondary_ips} and secondary == set(node.netconf.enis)


def hold(node: PoolNode, step: str) -> Callable[[], Awaitable[bool]]:
    """Has the step take its time; the result tells whether it has begun."""
    if step.split()[0] in OF_NETCONF:
        node.netconf.held.clear()
        node.netconf.hold_at = step
    else:
        node.aws.ec2.faults.add({"kind": "delay", "actions": [step], "seconds": ANSWER_S})

    async def reached() -> bool:
        if step.split()[0] in OF_NETCONF:
            return node.netconf.held.is_set()
        return step in node.aws.calls()

    return reached


def marks(node: PoolNode, eni: Eni) -> bool:
    """The tags that ENIs have; the instance's own ENI was not made by us and has no time of creation."""
    own = eni.tags.get("node.k8s.amazonaws.com/instance_id") == node.aws.node.id
    made = "node.k8s.amazonaws.com/createdAt" in eni.tags and eni.attachment is not None
    primary = eni.id == node.aws.ec2.primary_eni(node.aws.node.id).id
    return own and (primary or (made and bool(eni.attachment and eni.attachment.delete_on_termination)))

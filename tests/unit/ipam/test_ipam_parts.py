"""Parts of ipam with an event loop or a disk: checkpoint file, gate, locks, queue of waiting ADDs, DEL queue."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import pathlib
import time

import pytest
from google.protobuf import json_format
from vpccni_api.ipam.v1 import ipam_pb2 as pb
from vpccni_api.reasons import Reason, ReasonError
from vpccni_ipam.adapters.checkpoint_file import CheckpointFile
from vpccni_ipam.adapters.pending_dels import MAX_AGE_S, PendingDelDirectory
from vpccni_ipam.domain.checkpoint import MOST_HELD_BACK_S, Ledger, decode
from vpccni_ipam.domain.giveback import FromEni, GiveBack, surely_not_done
from vpccni_ipam.domain.model import Assignment, Moment, PodIdentity, PodKey, Wiring
from vpccni_ipam.domain.result import CniResult, ResultInterface, ResultIp
from vpccni_ipam.hold_back import SETTLE_S, HoldBack
from vpccni_ipam.pod_locks import PodLocks
from vpccni_ipam.ports import PodCall
from vpccni_ipam.waiting import Waiter, WaitingAdds
from vpccni_ipam.wiring_gate import WiringGate
from vpccni_plugin import del_queue

KEY = PodKey("aws-cni", "c1", "eth0")


def test_one_write_covers_all_who_wait_for_it(tmp_path: pathlib.Path) -> None:
    async def scenario() -> None:
        state: list[int] = []
        file = CheckpointFile(str(tmp_path / "d" / "ipam.json"), lambda: json.dumps(state).encode(), lambda _: None)
        assert file.load() is None
        commits = []
        for number in range(50):
            state.append(number)
            commits.append(file.commit(gather=True))
        await asyncio.gather(*commits)
        assert json.loads((tmp_path / "d" / "ipam.json").read_text()) == state
        assert file.writes == 1
        for number in range(3):
            state.append(number)
            await file.commit(gather=False)
            assert json.loads((tmp_path / "d" / "ipam.json").read_text()) == state

    asyncio.run(scenario())


def test_a_change_made_during_a_write_is_in_the_next_one(tmp_path: pathlib.Path) -> None:
    async def scenario() -> None:
        state = ["first"]
        file = CheckpointFile(str(tmp_path / "ipam.json"), lambda: json.dumps(state).encode(), lambda _: None)
        file.load()
        first = file.commit(gather=False)
        await asyncio.sleep(0)  # the first write has begun (or is over, on tmpfs)
        state.append("second")
        await asyncio.gather(first, file.commit(gather=False))
        assert json.loads((tmp_path / "ipam.json").read_text()) == ["first", "second"]

    asyncio.run(scenario())


def test_a_failed_write_fails_all_who_wait_and_a_later_one_heals(tmp_path: pathlib.Path) -> None:
    async def scenario() -> None:
        told: list[ReasonError | None] = []
        file = CheckpointFile(str(tmp_path / "ipam.json"), lambda: b"[]", told.append)
        file.load()
        (tmp_path / "ipam.json.tmp").mkdir()
        outcomes = await asyncio.gather(*(file.commit(gather=True) for _ in range(3)), return_exceptions=True)
        assert [o.reason for o in outcomes if isinstance(o, ReasonError)] == [Reason.STORE_FAILED] * 3
        (tmp_path / "ipam.json.tmp").rmdir()
        await file.commit(gather=True)
        assert [error.reason if error else None for error in told] == [Reason.STORE_FAILED, None]

    asyncio.run(scenario())


def test_left_temporary_files_go_and_an_unreadable_checkpoint_is_kept_aside(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "ipam.json"
    (tmp_path / "ipam.json.tmp123").write_text("half")
    path.write_text("broken")
    file = CheckpointFile(str(path), lambda: b"", lambda _: None)
    assert file.load() == b"broken"
    aside = pathlib.Path(file.set_aside())
    assert aside.read_text() == "broken"
    assert [p.name for p in tmp_path.iterdir()] == [aside.name]


def test_the_gate_keeps_the_complete_set_apart_from_single_pods() -> None:
    async def scenario() -> None:
        gate = WiringGate()
        order: list[str] = []
        free = asyncio.Event()

        async def one(name: str, wait: bool) -> None:
            async with gate.one_pod():
                order.append(f"{name} in")
                if wait:
                    await free.wait()
                order.append(f"{name} out")

        async def everything() -> None:
            async with gate.all_pods():
                order.append("all in")
                await asyncio.sleep(0)
                order.append("all out")

        first = asyncio.create_task(one("a", True))
        await asyncio.sleep(0)
        both = [asyncio.create_task(everything()), asyncio.create_task(everything())]
        await asyncio.sleep(0.01)
        late = asyncio.create_task(one("b", False))
        await asyncio.sleep(0.01)
        assert order == ["a in"]
        free.set()
        await asyncio.gather(first, late, *both)
        assert order.index("a out") < order.index("all in")
        assert order.count("all in") == 2
        inside = [n for n, what in enumerate(order) if what == "all in"]
        assert all(order[n + 1] == "all out" for n in inside)
        assert order.index("b in") > inside[0]

    asyncio.run(scenario())


def test_a_cancelled_complete_set_opens_the_gate_again() -> None:
    async def scenario() -> None:
        gate = WiringGate()
        hold = asyncio.Event()

        async def one() -> None:
            async with gate.one_pod():
                await hold.wait()

        async def everything() -> None:
            async with gate.all_pods():
                raise AssertionError("never gets in")

        busy = asyncio.create_task(one())
        await asyncio.sleep(0)
        resend = asyncio.create_task(everything())
        await asyncio.sleep(0.01)
        resend.cancel()
        await asyncio.gather(resend, return_exceptions=True)
        async with asyncio.timeout(5), gate.one_pod():
            pass
        hold.set()
        await busy

    asyncio.run(scenario())


def test_a_busy_pod_interface_is_told() -> None:
    async def scenario() -> None:
        locks = PodLocks()
        async with locks.hold(KEY, 5):
            with pytest.raises(ReasonError) as caught:
                async with locks.hold(KEY, 0.01):
                    pass
            assert caught.value.reason is Reason.POD_BUSY
            async with locks.hold(PodKey("aws-cni", "c2", "eth0"), 5):
                pass
        assert not locks.busy(KEY)

    asyncio.run(scenario())


def test_those_at_the_end_of_the_queue_fail_and_the_first_stays_first() -> None:
    async def scenario() -> None:
        queue = WaitingAdds()
        loop = asyncio.get_running_loop()
        made = [
            Waiter(PodKey("n", f"c{n}", "e"), PodIdentity(), Wiring("v"), 0, f"t{n}", loop.create_future())
            for n in range(5)
        ]
        for waiter in made:
            queue.add(waiter)
        assert queue.fail_beyond(3, ReasonError(Reason.ENI_LIMIT, "full")) == 2
        assert len(queue) == 3 and queue.first() is made[0]
        made[0].future.set_result(Assignment(KEY, PodIdentity(), Wiring("v"), "10.0.0.1", 0))
        made[0].fail(ReasonError(Reason.POOL_WARMING, "too late to fail"))
        assert queue.first() is made[1] and queue.traceparents() == ["t1", "t2"]
        assert queue.fail_beyond(0, ReasonError(Reason.DRAINING, "bye")) == 2
        assert len(queue) == 0 and queue.first() is None
        outcomes = await asyncio.gather(*(w.future for w in made), return_exceptions=True)
        assert [getattr(o, "reason", None) for o in outcomes] == [
            None,
            Reason.DRAINING,
            Reason.DRAINING,
            Reason.ENI_LIMIT,
            Reason.ENI_LIMIT,
        ]

    asyncio.run(scenario())


def call(container_id: str = "c1") -> PodCall:
    kept = CniResult((ResultInterface("eni1"), ResultInterface("eth0", "2", "/ns")), (ResultIp("10.0.0.1/32", 1),))
    return PodCall(PodKey("aws-cni", container_id, "eth0"), PodIdentity("ns", "web", "u"), "/ns", "eni", kept)


def test_queued_dels_come_back_as_they_were_oldest_first(tmp_path: pathlib.Path) -> None:
    queue = PendingDelDirectory(str(tmp_path / "q"), "eni")
    assert queue.entries() == [] and queue.count() == 0
    for age, name in ((10, "c2"), (20, "c1"), (MAX_AGE_S + 60, "old")):
        queue.put(call(name))
        path = tmp_path / "q" / f"{name}-eth0.json"
        os.utime(path, (time.time() - age, time.time() - age))
    assert queue.count() == 3
    found = queue.entries()
    assert [item.call for item in found] == [call("c1"), call("c2")]
    assert json_format.Parse((tmp_path / "q" / "c1-eth0.json").read_text(), pb.DelPodRequest()).pod.name == "web"
    for item in found:
        queue.done(item)
        queue.done(item)
    assert list((tmp_path / "q").iterdir()) == []


def test_a_new_file_in_the_queue_is_noticed_once(tmp_path: pathlib.Path) -> None:
    queue = PendingDelDirectory(str(tmp_path), "eni")
    queue.changed()
    assert not queue.changed()
    queue.put(call())
    os.utime(tmp_path, (1, 1))
    assert queue.changed() and not queue.changed()


def test_a_queued_del_is_forgotten_by_its_pod_interface_as_ipam_and_the_plugin_name_it(tmp_path: pathlib.Path) -> None:
    queue = PendingDelDirectory(str(tmp_path), "eni")
    one = call()
    odd = dataclasses.replace(one, key=PodKey("aws-cni", "c2", "net~1"))
    for item in (one, odd):
        queue.put(item)
        assert (tmp_path / del_queue.file_name(item.key.container_id, item.key.ifname)).exists()
    (queued, other) = queue.entries()
    queue.forget(queued.call.key)
    assert (queue.holds(queued), queue.holds(other), queue.count()) == (False, True, 1)
    queue.forget(queued.call.key)


@pytest.mark.parametrize(
    ("what", "reason", "expected"),
    [
        (GiveBack(addresses=(FromEni("eni-1", ("10.0.0.1",)),)), Reason.EC2_THROTTLED, True),
        (GiveBack(addresses=(FromEni("eni-1", ("10.0.0.1",)),)), Reason.EC2_UNREACHABLE, False),
        (GiveBack(addresses=(FromEni("eni-1", ("10.0.0.1",), ("10.0.1.0/28",)),)), Reason.EC2_THROTTLED, False),
        (
            GiveBack(addresses=(FromEni("eni-1", ("10.0.0.1",)), FromEni("eni-2", ("10.0.0.2",)))),
            Reason.IAM_DENIED,
            False,
        ),
        (GiveBack(addresses=(FromEni("eni-1", ("10.0.0.1",)), FromEni("eni-2", ("10.0.0.2",)))), Reason.DRAINING, True),
        (GiveBack(eni_ids=("eni-1",)), Reason.EC2_THROTTLED, False),
        (GiveBack(eni_ids=("eni-1",)), Reason.CAPACITY_IN_USE, True),
        (GiveBack(eni_ids=("eni-1", "eni-2")), Reason.STORE_FAILED, True),
    ],
)
def test_only_a_release_that_ec2_surely_did_not_do_is_taken_back_at_once(
    what: GiveBack, reason: Reason, expected: bool
) -> None:
    assert surely_not_done(what, reason) is expected


def test_what_is_held_back_goes_on_over_a_restart() -> None:
    held, ledger = HoldBack(), Ledger()
    held.hold(["10.0.0.1"], Moment(100, 5000), 90)
    held.hold(["eni-1"], Moment(100, 5000), 10)
    assert held.ends == 190
    ledger.releasing(held.until_unix(Moment(100, 5000)))
    found = decode(ledger.render(), Moment(7, 5030), 30)
    again = HoldBack()
    again.hold_until(found.releasing, Moment(7, 5030))
    assert (again.ends, again.holds("eni-1", Moment(7, 5030))) == (67, False)
    early = decode(ledger.render(), Moment(7, 0), 30)
    assert early.releasing["10.0.0.1"] == 7 + MOST_HELD_BACK_S


def test_what_was_given_back_is_held_for_a_while() -> None:
    held = HoldBack()
    held.hold(["10.0.0.1", "eni-1"], Moment(100, 0))
    assert held.without(["10.0.0.1", "10.0.0.2"], Moment(100 + SETTLE_S - 1, 0)) == ("10.0.0.2",)
    assert held.holds("eni-1", Moment(101, 0))
    held.drop(["eni-1"])
    assert not held.holds("eni-1", Moment(101, 0))
    assert held.without(["10.0.0.1"], Moment(100 + SETTLE_S, 0)) == ("10.0.0.1",)

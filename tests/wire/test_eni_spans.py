"""Spans of eni-manager as a collector receives them: one trace from the caller to EC2's request id."""

from __future__ import annotations

import asyncio
import pathlib

import pytest
from eni_aws import Aws, listening_socket, running, until
from vpccni_api.reasons import Reason, ReasonError
from vpccni_kit import telemetry
from vpccni_lab.trace.collector import Collector
from vpccni_lab.trace.spans import Span

pytestmark = pytest.mark.wire


def test_every_ec2_call_is_a_span_with_its_request_id_below_the_callers(tmp_path: pathlib.Path) -> None:
    async def scenario() -> None:
        collector = Collector(tmp_path / "otlp.sock")
        await collector.start()
        try:
            await traced(collector)
        finally:
            await collector.close()

    async def traced(collector: Collector) -> None:
        port = listening_socket()
        await collector.relay(port)
        settings = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port.getsockname()[1]}",
            "OTEL_EXPORTER_OTLP_INSECURE": "true",
            "OTEL_SDK_DISABLED": "false",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "MY_NODE_NAME": "node-a",
        }
        async with Aws().serving() as aws, running(aws, tmp_path, **settings) as process:
            await process.inventory()
            aws.mark()
            aws.ec2.faults.add({"kind": "throttle", "actions": ["AssignPrivateIpAddresses"], "one_in": 3, "count": 2})
            with telemetry.span("pool.grow") as root:
                await process.ensure(9)
                await process.ensure(1)
                aws.ec2.faults.add({"kind": "deny", "actions": ["Unassign*"]})
                held = (await process.inventory()).enis[0]
                with pytest.raises(ReasonError):
                    await process.release([(held.eni_id, held.secondary_ips[:1])])
            trace_id = root.traceparent[3:35]

            def spans() -> list[Span]:
                return collector.store.trace(trace_id)

            await until(lambda: any(span.name == "ec2.UnassignPrivateIpAddresses" for span in spans()), what="spans")
            await until(lambda: sum(span.name == "eni-manager.EnsureCapacity" for span in spans()) == 2, what="roots")
            found = spans()
            ids = {call.request_id: call.action for call in aws.ec2.calls.recent()}
            for span in found:
                if span.name.startswith("ec2."):
                    assert ids[str(span.attributes["aws.request_id"])] == span.name.removeprefix("ec2.")
            assign = next(span for span in found if span.name == "ec2.AssignPrivateIpAddresses")
            assert assign.attributes["ec2.retries"] == 2
            by_id = {span.span_id: span for span in found}
            assert by_id[assign.parent_id].name == "eni-manager.EnsureCapacity"
            denied = next(span for span in found if span.name == "ec2.UnassignPrivateIpAddresses")
            assert denied.attributes["vpccni.reason"] == str(Reason.IAM_DENIED)

    asyncio.run(scenario())

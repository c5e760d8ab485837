"""``make jaeger``: a lab beside a real Jaeger, the trace of an ADD that waits read back from it, checked and drawn.

The lab's collector passes every export on to Jaeger. Node-a keeps nothing warm (WARM_ENI_TARGET=0), so its pool grows
when the last address is taken and while ADDs wait. What is checked is what Jaeger's query API answers.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from observed import REPO, Jaeger, MissingError, jaeger_binary
from vpccni_lab import lifecycle, state
from vpccni_lab.cli.output import Progress, table
from vpccni_lab.client import LabClient
from vpccni_lab.runtime.pods import Failure, Pod, new_pod
from vpccni_lab.spec import LabSpec, NodeSpec
from vpccni_lab.trace import collector, jaeger, waterfall
from vpccni_lab.trace.spans import Span, tree

ENV: Final = {"WARM_ENI_TARGET": "0", "IP_COOLDOWN_PERIOD": "2"}
PODS: Final = 22
"""More than two ENIs hold (m5.large: 9 each). The second may be on its way before an ADD waits, in a trace of its own; the third is
made for those that still wait after the second."""


@dataclasses.dataclass(frozen=True, slots=True)
class Check:
    """One row of the table."""

    what: str
    expected: str
    observed: str
    ok: bool


def spec(name: str) -> LabSpec:
    return LabSpec(name=name, nodes=(NodeSpec("node-a", "a"),), env=ENV, timings={"attach": 0.3})


def run_pods(lab: LabClient) -> list[Pod]:
    """All at once; EC2 throttles every other CreateNetworkInterface. Raises AssertionError when a pod fails."""
    lab.add_fault({"kind": "throttle", "actions": "CreateNetworkInterface", "one_in": 2})
    with lab.pods("node-a", workers=PODS) as pods:
        outcomes = pods.run([new_pod("node-a", f"pod-{i}") for i in range(PODS)])
    failed = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    assert not failed, failed[0].error
    return [outcome for outcome in outcomes if isinstance(outcome, Pod)]


def read_back(url: str, pods: Sequence[Pod], within_s: float = 30.0) -> dict[str, list[Span]]:
    """The traces of the pods, as soon as each has its root and the number of spans no longer changes."""
    deadline, before = time.monotonic() + within_s, -1
    while True:
        traces = {pod.name: jaeger.trace(url, pod.trace_id) for pod in pods}
        count = sum(map(len, traces.values()))
        whole = all(any(span.name == "cni.add" for span in spans) for spans in traces.values())
        if (whole and count == before) or time.monotonic() > deadline:
            return traces
        before = count
        time.sleep(0.5)


def growths(url: str, traces: dict[str, list[Span]]) -> set[str]:
    """<trace id>-<span id> of every pool.grow span in these traces and in those that their waits link to."""
    linked = {link.partition("-")[0] for spans in traces.values() for span in spans for link in span.links}
    found = [span for trace_id in linked for span in jaeger.trace(url, trace_id)]
    found += [span for spans in traces.values() for span in spans]
    return {f"{span.trace_id}-{span.span_id}" for span in found if span.name == "pool.grow"}


def grown_by(spans: Sequence[Span]) -> bool:
    """True for the trace of the ADD whose wait made the pool create an ENI."""
    return any(span.name == "ec2.CreateNetworkInterface" for span in spans)


def checks(traces: dict[str, list[Span]], growths: set[str]) -> Iterator[Check]:
    """Everything that is promised of traces. ``growths``: what ``growths`` found."""
    waited = {name: spans for name, spans in traces.items() if any(span.name == "pool.wait" for span in spans)}
    yield Check(
        "traces with the root cni.add",
        f"{len(traces)}",
        f"{_count(traces, 'cni.add')}",
        _count(traces, "cni.add") == len(traces),
    )
    yield Check("ADDs that waited", "1 or more", f"{len(waited)}", bool(waited))
    grown = next((spans for spans in waited.values() if grown_by(spans)), [])
    services = {span.service for span in grown}
    wanted = {"aws-cni", "ipam", "netconf", "eni-manager"}
    yield Check(
        "services in one trace of growth", ", ".join(sorted(wanted)), ", ".join(sorted(services)), services == wanted
    )
    for name in (
        "ipam.AddPod",
        "pool.wait",
        "pool.grow",
        "eni-manager.EnsureCapacity",
        "ec2.AttachNetworkInterface",
        "netconf.SetupPod",
        "store.write",
    ):
        found = sum(span.name == name for span in grown)
        yield Check(f"span {name}", "1 or more", f"{found}", found > 0)
    known = {span.span_id for span in grown}
    tops = [span.name for span in grown if span.parent_id not in known]  # the runtime's own span is not exported
    yield Check("spans without a parent in it", "cni.add", ", ".join(tops), tops == ["cni.add"])
    linked = sum(
        bool(growths & {link for span in spans if span.name == "pool.wait" for link in span.links})
        for spans in waited.values()
    )
    yield Check("waits linked to a growth span", f"{len(waited)}", f"{linked}", linked == len(waited))
    ec2 = [span for span in grown if span.name.startswith("ec2.")]
    with_id = sum(bool(span.attributes.get("aws.request_id")) for span in ec2)
    yield Check("EC2 spans with a request id", f"{len(ec2)}", f"{with_id}", with_id == len(ec2) > 0)
    throttled = sum(
        any(event.name == "throttled" for event in span.events) and span.attributes.get("ec2.retries", 0) > 0
        for span in ec2
    )
    yield Check("EC2 spans with a throttle as an event", "1", f"{throttled}", throttled == 1)
    named = sum(any(span.attributes.get("k8s.pod.name") == name for span in spans) for name, spans in traces.items())
    yield Check("traces that name their pod", f"{len(traces)}", f"{named}", named == len(traces))


def _count(traces: dict[str, list[Span]], name: str) -> int:
    return sum(any(span.name == name for span in spans) for spans in traces.values())


def growing_trace(traces: dict[str, list[Span]]) -> list[Span]:
    """The one to show."""
    return next((spans for spans in traces.values() if grown_by(spans)), next(iter(traces.values())))


def report(rows: Sequence[Check], traces: dict[str, list[Span]]) -> dict[str, Any]:
    return {
        "ok": all(row.ok for row in rows),
        "rows": [dataclasses.asdict(row) for row in rows],
        "traces": {name: [dataclasses.asdict(span) for span in spans] for name, spans in traces.items()},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--png", type=Path, default=REPO / "build/trace.png", help="where the picture goes")
    parser.add_argument("--json", type=Path, default=REPO / "build/jaeger.json", help="where the answers go")
    parser.add_argument("--keep", action="store_true", help="leave Jaeger and the lab up until Enter is pressed")
    args = parser.parse_args()
    progress = Progress()
    try:
        binary = jaeger_binary(build=True, say=progress)
    except MissingError as missing:
        print(f"make jaeger needs {missing}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as scratch:
        os.environ.setdefault(state.BASE_ENV, scratch)
        store = Jaeger(binary, Path(scratch) / "jaeger.log")
        os.environ[collector.FORWARD_ENV] = store.otlp
        name = f"jaeger{os.getpid()}"
        try:
            with lifecycle.up(spec(name), progress) as lab:
                traces = read_back(store.url, run_pods(lab))
                rows = list(checks(traces, growths(store.url, traces)))
                if args.keep:
                    input(f"Jaeger's API: {store.url}   lab: {name}   Enter ends both ")
        finally:
            lifecycle.down(name, progress)
            store.stop()
    shown = growing_trace(traces)
    for path in (args.png, args.json):
        path.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(report(rows, traces), indent=1) + "\n")
    waterfall.draw(shown, args.png, "A pod's ADD that waited for a new ENI, as Jaeger has it")
    print("\n" + "\n".join(tree(shown)) + "\n")
    print(
        table(
            ["TRACE IN JAEGER", "EXPECTED", "OBSERVED", ""],
            [(r.what, r.expected, r.observed, "ok" if r.ok else "NO") for r in rows],
        )
    )
    print(f"\n{args.png} and {args.json} written")
    return 0 if all(row.ok for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())

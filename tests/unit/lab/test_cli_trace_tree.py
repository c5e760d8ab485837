"""Span trees and the store behind them."""

from __future__ import annotations

from vpccni_lab.trace.spans import Span, SpanStore, tree


def span(name: str, own: str, parent: str = "", start: int = 0, trace: str = "t", **more: object) -> Span:
    return Span(trace, own, parent, name, "svc", start * 1_000_000, (start + 2) * 1_000_000, **more)


def test_tree_shows_children_below_parents_in_order_of_time() -> None:
    spans = [
        span("second", "c", "a", 5),
        span("root", "a", "outside", 1, attributes={"vpccni.pod": "web"}),
        span("first", "b", "a", 2, error="POOL_WARMING"),
        span("inner", "d", "b", 3),
    ]
    lines = tree(spans)
    assert [line.split()[0] for line in lines] == ["root", "first", "inner", "second"]
    assert [len(line) - len(line.lstrip()) for line in lines] == [0, 2, 4, 2]
    assert "2.00 ms" in lines[0] and "pod=web" in lines[0]
    assert "+    1.00 ms" in lines[1] and "! POOL_WARMING" in lines[1]
    assert all(len(line) <= 40 for line in tree(spans, width=40))
    assert tree([]) == []


def test_a_trace_may_come_in_parts_and_the_oldest_is_forgotten() -> None:
    store = SpanStore(traces=2)
    store.add([span("cni.add", "a", trace="1"), span("x", "b", trace="2")])
    store.add([span("y", "c", "a", 1, trace="1")])
    assert [item.name for item in store.trace("1")] == ["cni.add", "y"]
    assert store.latest("cni.add", 5) == ["1"]
    store.add([span("cni.add", "d", trace="3")])
    assert store.trace("1") == []
    assert store.latest("", 5) == ["3", "2"]

"""``python docs/draw_architecture.py [--check]``: writes docs/architecture.svg, the picture of docs/architecture.md."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

OUT: Final = Path(__file__).with_name("architecture.svg")
SIZE: Final = (1060, 620)
INK: Final = "#1f2933"
STYLE: Final = f"""text{{font-family:Helvetica,Arial,sans-serif;fill:{INK};font-size:13px}}
.title{{font-size:15px;font-weight:bold}} .note{{font-size:12px;fill:#52606d}}
.box{{stroke:{INK};stroke-width:1.4}} .frame{{fill:none;stroke:#9aa5b1;stroke-dasharray:6 4}}
.line{{stroke:{INK};stroke-width:1.6;fill:none;marker-end:url(#head)}} .idle{{stroke:#9aa5b1}}"""

MARKER: Final = (
    '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" '
    f'orient="auto-start-reverse"><path d="M0 0L10 5L0 10z" fill="{INK}"/></marker></defs>'
)


@dataclasses.dataclass(frozen=True)
class Box:
    """``lines``: the first is the title. ``fill``: by what it may touch."""

    x: int
    y: int
    width: int
    height: int
    lines: tuple[str, ...]
    fill: str = "#ffffff"


@dataclasses.dataclass(frozen=True)
class Arrow:
    """Straight from one point to another, with what goes over it beside ``label_at``."""

    points: tuple[tuple[int, int], ...]
    label: tuple[str, ...] = ()
    label_at: tuple[int, int] = (0, 0)


PLAIN, KERNEL, CLOUD, OUTSIDE = "#eef4fb", "#fdeccf", "#e3f3e1", "#f5f7fa"
FRAMES: Final = (
    (20, 20, 720, 580, "node"),
    (250, 125, 475, 290, "pod aws-node (host network)"),
)
BOXES: Final = (
    Box(40, 60, 170, 60, ("container runtime", "CNI ADD, DEL, CHECK, GC"), OUTSIDE),
    Box(40, 190, 170, 84, ("aws-cni", "one static file", "parses, one RPC, prints"), PLAIN),
    Box(
        270,
        165,
        410,
        84,
        ("ipam", "who gets which address, how many are kept warm", "no capability; the API server's token"),
        PLAIN,
    ),
    Box(
        270,
        315,
        195,
        90,
        ("netconf", "desired state -> kernel", "NET_ADMIN, SYS_ADMIN,", "NET_RAW"),
        KERNEL,
    ),
    Box(490, 315, 190, 90, ("eni-manager", "wishes -> what EC2 has", "no capability; the AWS role"), CLOUD),
    Box(
        270,
        480,
        195,
        100,
        ("kernel", "veth, rules, routes,", "SNAT and connmark chains:", "stay when services are down"),
        OUTSIDE,
    ),
    Box(40, 320, 170, 84, ("/var/run/aws-node", "ipam.json (checkpoint)", "pending-del/"), OUTSIDE),
    Box(40, 490, 170, 80, ("pod", "its address on an ENI", "of the node"), OUTSIDE),
    Box(800, 175, 230, 64, ("Kubernetes API", "Node, events, ENIConfig, pods"), OUTSIDE),
    Box(800, 315, 230, 84, ("EC2 and IMDS", "ENIs, addresses, prefixes", "token bucket per API class"), OUTSIDE),
    Box(800, 60, 230, 72, ("Prometheus, Jaeger", "metrics 61678, 61683, 61684;", "spans by OTLP"), OUTSIDE),
)
ARROWS: Final = (
    Arrow(((125, 120), (125, 190)), ("exec, JSON",), (133, 160)),
    Arrow(((210, 222), (270, 222)), ("gRPC",), (214, 214)),
    Arrow(((367, 249), (367, 315)), ("SetupPod, ApplyEni, …", "netconf.sock"), (376, 278)),
    Arrow(((585, 249), (585, 315)), ("EnsureCapacity, …", "eni-manager.sock"), (594, 278)),
    Arrow(((367, 405), (367, 480)), ("netlink, nft, iptables",), (376, 444)),
    Arrow(((680, 357), (800, 357)), ("HTTPS",), (748, 349)),
    Arrow(((680, 207), (800, 207)), ("watch",), (750, 199)),
    Arrow(((300, 249), (300, 285), (230, 285), (230, 355), (210, 355)), ()),
    Arrow(((270, 530), (210, 530)), ()),
)


def draw() -> str:
    """The SVG's text."""
    width, height = SIZE
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
        f"<style>{STYLE}</style>",
        MARKER,
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for x, y, w, h, name in FRAMES:
        parts.append(f'<rect class="frame" x="{x}" y="{y}" width="{w}" height="{h}" rx="10"/>')
        parts.append(f'<text class="note" x="{x + 12}" y="{y + 20}">{escape(name)}</text>')
    parts += [_box(box) for box in BOXES]
    parts += [_arrow(arrow) for arrow in ARROWS]
    return "\n".join([*parts, "</svg>\n"])


def _box(box: Box) -> str:
    made = f'<rect class="box" x="{box.x}" y="{box.y}" width="{box.width}" height="{box.height}" rx="6" fill="{box.fill}"/>'
    for number, line in enumerate(box.lines):
        kind = "title" if number == 0 else "note"
        made += f'<text class="{kind}" x="{box.x + 10}" y="{box.y + 22 + 19 * number}">{escape(line)}</text>'
    return made


def _arrow(arrow: Arrow) -> str:
    made = f'<polyline class="line" points="{" ".join(f"{x},{y}" for x, y in arrow.points)}"/>'
    for number, line in enumerate(arrow.label):
        x, y = arrow.label_at
        made += f'<text class="note" x="{x}" y="{y + 16 * number}">{escape(line)}</text>'
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; status 1 when the picture is stale")
    check: bool = parser.parse_args().check
    if check:
        return int(not OUT.exists() or OUT.read_text(encoding="utf-8") != draw())
    OUT.write_text(draw(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

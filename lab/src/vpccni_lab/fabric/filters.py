"""Text of the nft rule sets: source/destination check of the VPC, address translation of the internet gateway. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

SPOOFED = "spoofed"
NO_PUBLIC_IP = "no_public_ip"
"""Names of the counters."""


def source_check() -> str:
    """The VPC router's table: a packet from an ENI must carry a source address that is routed back to that ENI.

    Exempt as on EC2: link-local traffic, the unspecified address of DHCP and of duplicate address detection.
    """
    return f"""
table inet vpc {{
  counter {SPOOFED} {{ }}
  set unchecked {{ type ifname; }}
  chain source_check {{
    type filter hook prerouting priority raw; policy accept;
    iifname != "e-*" accept
    iifname @unchecked accept
    ip saddr {{ 0.0.0.0, 169.254.0.0/16 }} accept
    ip6 saddr {{ ::, fe80::/10 }} accept
    fib saddr . iif oif missing counter name {SPOOFED} drop
  }}
}}
"""


def unchecked(links: Iterable[str]) -> str:
    """Replaces the set of links whose ENI has SourceDestCheck off."""
    names = ", ".join(f'"{link}"' for link in sorted(links))
    return "flush set inet vpc unchecked\n" + (f"add element inet vpc unchecked {{ {names} }}\n" if names else "")


def internet_gateway() -> str:
    """The gateway's tables: only addresses with a public IP leave (1:1), only those are reached; IPv6 passes as it is."""
    return f"""
table ip igw {{
  counter {NO_PUBLIC_IP} {{ }}
  set with_public {{ type ipv4_addr; }}
  map to_public {{ type ipv4_addr : ipv4_addr; }}
  map to_private {{ type ipv4_addr : ipv4_addr; }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    iifname "vpc" ip saddr != @with_public counter name {NO_PUBLIC_IP} drop
    iifname "internet" ip daddr != @with_public drop
  }}
  chain inbound {{
    type nat hook prerouting priority dstnat; policy accept;
    iifname "internet" dnat to ip daddr map @to_private
  }}
  chain outbound {{
    type nat hook postrouting priority srcnat; policy accept;
    oifname "internet" snat to ip saddr map @to_public
  }}
}}
"""


def public_addresses(public_of: Mapping[str, str]) -> str:
    """Replaces the gateway's translations with ``public_of`` (private address -> public address)."""
    lines = [
        f"flush {kind} ip igw {name}"
        for kind, name in (("set", "with_public"), ("map", "to_public"), ("map", "to_private"))
    ]
    for private, public in sorted(public_of.items()):
        lines += [
            f"add element ip igw with_public {{ {private} }}",
            f"add element ip igw to_public {{ {private} : {public} }}",
            f"add element ip igw to_private {{ {public} : {private} }}",
        ]
    return "\n".join(lines) + "\n"

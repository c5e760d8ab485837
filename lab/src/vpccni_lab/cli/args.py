"""The command line: what can be said, and the lab that flags describe."""

from __future__ import annotations

import argparse
import dataclasses
import ipaddress
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from vpccni_lab import spec as labspec
from vpccni_lab.spec import CniSpec, LabSpec, NodeSpec, SubnetSpec

_WARM = {
    "warm_eni_target": "WARM_ENI_TARGET",
    "warm_ip_target": "WARM_IP_TARGET",
    "minimum_ip_target": "MINIMUM_IP_TARGET",
    "max_eni": "MAX_ENI",
}


def add_spec_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of ``up`` and ``demo``: they change the default lab, or the one of the file."""
    parser.add_argument("-f", "--file", type=Path, help="YAML description of the lab (docs/lab.md)")
    parser.add_argument("--nodes", type=int, help="number of nodes with the CNI (default 2)")
    parser.add_argument("--instance-type", help="of these nodes (default m5.large)")
    parser.add_argument(
        "--vpc-cidr", action="append", metavar="CIDR", help="repeat for several (default 10.0.0.0/16, 10.1.0.0/16)"
    )
    parser.add_argument(
        "--subnet", action="append", metavar="CIDR", help="subnets of the nodes, used in turn; repeat for several"
    )
    parser.add_argument(
        "--env", action="append", default=[], metavar="NAME=VALUE", help="setting of all services; repeat"
    )
    for flag, name in _WARM.items():
        parser.add_argument(f"--{flag.replace('_', '-')}", type=int, metavar="N", help=f"same as --env {name}=N")
    parser.add_argument(
        "--attach-delay", type=float, metavar="S", help="seconds that EC2 takes to attach an ENI (default 0)"
    )
    parser.add_argument(
        "--plugin", metavar="PATH|python", help="the aws-cni program, or its Python source (default build/aws-cni)"
    )
    parser.add_argument("--cni-version", help="of the nodes' network configuration (default 1.0.0)")
    parser.add_argument("--cni", choices=labspec.CNIS, help="none: nodes without our services")
    parser.add_argument("--no-traces", action="store_true", help="services export no spans")


def spec_from(args: argparse.Namespace, name: str | None) -> LabSpec:
    """The lab that the flags describe. Raises ReasonError CONFIG_INVALID."""
    spec = LabSpec()
    if args.file is not None:
        try:
            data = yaml.safe_load(args.file.read_text())
        except (OSError, yaml.YAMLError) as exc:
            raise labspec.invalid("file", str(args.file), str(exc)) from exc
        if not isinstance(data, dict):
            raise labspec.invalid("file", str(args.file), "a YAML mapping")
        spec = labspec.from_dict(data)
    changes: dict[str, Any] = {"env": {**spec.env, **_env(args)}}
    if name:
        changes["name"] = name
    if args.vpc_cidr:
        changes["cidrs"] = tuple(args.vpc_cidr)
    if args.attach_delay is not None:
        changes["timings"] = {**spec.timings, "attach": args.attach_delay}
    if args.no_traces:
        changes["traces"] = False
    if args.plugin or args.cni_version:
        changes["cni"] = _cni(spec.cni, args)
    changes["subnets"], changes["nodes"] = _places(spec, args)
    return labspec.checked(dataclasses.replace(spec, **changes))


def _env(args: argparse.Namespace) -> dict[str, str]:
    env = assignments(args.env, "--env")
    return env | {name: str(value) for flag, name in _WARM.items() if (value := getattr(args, flag)) is not None}


def assignments(items: Iterable[str], what: str) -> dict[str, str]:
    """``NAME=VALUE`` items as a mapping. Raises CONFIG_INVALID."""
    found = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not name or not equals:
            raise labspec.invalid(what, item, "NAME=VALUE")
        found[name] = value
    return found


def _cni(cni: CniSpec, args: argparse.Namespace) -> CniSpec:
    if args.cni_version:
        cni = dataclasses.replace(cni, version=args.cni_version)
    if args.plugin == "python":
        return dataclasses.replace(cni, python=True)
    return dataclasses.replace(cni, binary=str(Path(args.plugin).resolve())) if args.plugin else cni


def _places(spec: LabSpec, args: argparse.Namespace) -> tuple[tuple[SubnetSpec, ...], tuple[NodeSpec, ...]]:
    subnets, nodes = spec.subnets, spec.nodes
    ours = [node for node in nodes if node.cni != "none"]
    others = [node for node in nodes if node.cni == "none"]
    if args.vpc_cidr:  # keep what still fits
        outer = [ipaddress.ip_network(cidr) for cidr in args.vpc_cidr]
        subnets = tuple(s for s in subnets if any(_inside(s.cidr, cidr) for cidr in outer))
        others = [node for node in others if any(node.subnet == s.name for s in subnets)]
    if args.subnet:
        names = {node.subnet for node in ours}
        given = tuple(SubnetSpec(f"subnet{i}", cidr, f"us-west-2{'abc'[i % 3]}") for i, cidr in enumerate(args.subnet))
        subnets = (*given, *(s for s in subnets if s.name not in names and s.cidr not in args.subnet))
        ours = [dataclasses.replace(node, subnet=given[i % len(given)].name) for i, node in enumerate(ours)]
    if args.nodes is not None:
        if not 0 <= args.nodes <= 26:
            raise labspec.invalid("--nodes", args.nodes, "0 to 26")
        kinds = ours or [NodeSpec("node-a", subnets[0].name)]
        ours = [
            dataclasses.replace(kinds[i % len(kinds)], name=f"node-{chr(ord('a') + i)}", private_ip="")
            for i in range(args.nodes)
        ]
    if args.instance_type:
        ours = [dataclasses.replace(node, instance_type=args.instance_type) for node in ours]
    if args.cni:
        ours = [dataclasses.replace(node, cni=args.cni) for node in ours]
    return subnets, (*ours, *others)


def _inside(cidr: str, outer: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    inner = ipaddress.ip_network(cidr)
    return inner.version == outer.version and inner.network_address in outer

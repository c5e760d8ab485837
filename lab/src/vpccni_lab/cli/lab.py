"""Commands on the lab as a whole: up, down, status, env, demo."""

from __future__ import annotations

import argparse

from vpccni_lab import lifecycle, state
from vpccni_lab.cli.args import add_spec_flags, spec_from
from vpccni_lab.cli.output import Progress, table
from vpccni_lab.client import LabClient

DEFAULT = "demo"


def add_lab_flag(parser: argparse.ArgumentParser) -> None:
    """``-l NAME``, which lab a command is about."""
    parser.add_argument("-l", "--lab", default=DEFAULT, metavar="NAME", help="name of the lab (default demo)")


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declares this module's commands."""
    up = commands.add_parser("up", help="build a lab")
    up.add_argument("name", nargs="?", help="name of the lab (default demo)")
    add_spec_flags(up)
    up.set_defaults(run=run_up)
    down = commands.add_parser("down", help="remove a lab, also after a crash")
    down.add_argument("name", nargs="*", help="names of labs (default demo)")
    down.add_argument("--all", action="store_true", help="every lab of this machine")
    down.set_defaults(run=run_down)
    status = commands.add_parser("status", help="nodes, services, subnets")
    add_lab_flag(status)
    status.set_defaults(run=run_status)
    labs = commands.add_parser("labs", help="labs on this machine")
    labs.set_defaults(run=run_labs)
    env = commands.add_parser("env", help='shell variables for the AWS CLI and SDKs: eval "$(vpclab env)"')
    add_lab_flag(env)
    env.set_defaults(run=run_env)


def run_up(args: argparse.Namespace) -> int:
    """Builds a lab."""
    spec, progress = spec_from(args, args.name), Progress()
    progress(f"lab {spec.name}")
    with lifecycle.up(spec, progress):
        progress("up. Next: vpclab run, vpclab check, vpclab down")
    return 0


def run_down(args: argparse.Namespace) -> int:
    """Removes labs."""
    progress = Progress()
    names = [lab.name for lab in state.labs()] if args.all else args.name or [DEFAULT]
    for name in names:
        if not lifecycle.down(name, progress):
            progress(f"lab {name}: nothing to remove")
    return 0


def run_labs(args: argparse.Namespace) -> int:
    """Lists labs."""
    print(table(["LAB", "STATE"], [(lab.name, "up" if lab.daemon_alive() else "crashed") for lab in state.labs()]))
    return 0


def run_status(args: argparse.Namespace) -> int:
    """Shows the lab; exit status 1 when a service does not run."""
    with LabClient(args.lab) as lab:
        status = lab.status()
    print(
        f"lab {status['name']}, up for {status['uptime_seconds']:.0f} s, EC2 at {status['ec2_endpoint']}, {status['vpc']}\n"
    )
    print(
        table(
            ["SUBNET", "ID", "CIDR", "FREE"], [(n, s["id"], s["cidr"], s["free"]) for n, s in status["subnets"].items()]
        )
    )
    rows, whole = [], True
    for node in status["nodes"]:
        down = [name for name, service in node["services"].items() if service["pid"] is None]
        whole = whole and not down
        services = "not running: " + ", ".join(down) if down else ", ".join(node["services"]) or "-"
        rows.append(
            (node["name"], node["instance_id"], node["instance_type"], node["address"], node["public"] or "-", services)
        )
    print("\n" + table(["NODE", "INSTANCE", "TYPE", "ADDRESS", "PUBLIC", "SERVICES"], rows))
    return 0 if whole else 1


def run_env(args: argparse.Namespace) -> int:
    """Prints exports for a shell on this machine."""
    with LabClient(args.lab) as lab:
        endpoint = lab.status()["ec2_endpoint"]
    for name, value in (
        ("AWS_ENDPOINT_URL_EC2", endpoint),
        ("AWS_DEFAULT_REGION", "us-west-2"),
        ("AWS_ACCESS_KEY_ID", "vpclab"),
        ("AWS_SECRET_ACCESS_KEY", "vpclab"),
    ):
        print(f"export {name}={value}")
    return 0

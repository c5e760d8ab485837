"""EC2's client errors: code, HTTP status and message text in EC2's form (codes: EC2 API reference, "Error codes").

Texts that programs are known to match on are EC2's own, as seen in public error reports; where none was to be found (prefixes
on Xen, addresses outside the subnet, unknown network cards) code and form are EC2's and the words are the lab's.
"""

from __future__ import annotations

from collections.abc import Iterable


class Ec2Error(Exception):
    """What EC2 answers instead of a result. ``status``: HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


def invalid_value(message: str) -> Ec2Error:
    return Ec2Error("InvalidParameterValue", message)


def combination(message: str) -> Ec2Error:
    return Ec2Error("InvalidParameterCombination", message)


def missing(parameter: str) -> Ec2Error:
    return Ec2Error("MissingParameter", f"The request must contain the parameter {parameter}")


def eni_not_found(ids: Iterable[str]) -> Ec2Error:
    names = sorted(ids)
    if len(names) == 1:
        return Ec2Error("InvalidNetworkInterfaceID.NotFound", f"The networkInterface ID '{names[0]}' does not exist")
    return Ec2Error("InvalidNetworkInterfaceID.NotFound", f"The networkInterface IDs '{', '.join(names)}' do not exist")


def not_found(code: str, what: str, ids: Iterable[str]) -> Ec2Error:
    """``code``: e.g. InvalidSubnetID.NotFound; ``what``: EC2's word for the resource, e.g. "subnet ID"."""
    names = sorted(ids)
    if len(names) == 1:
        return Ec2Error(code, f"The {what} '{names[0]}' does not exist")
    return Ec2Error(code, f"The {what}s '{', '.join(names)}' do not exist")


def subnet_full() -> Ec2Error:
    return Ec2Error(
        "InsufficientFreeAddressesInSubnet",
        "The specified subnet does not have enough free addresses to satisfy the request.",
    )


def no_cidr_block() -> Ec2Error:
    return Ec2Error(
        "InsufficientCidrBlocks", "The specified subnet does not have enough free cidr blocks to satisfy the request."
    )


def prefixes_exceed_subnet() -> Ec2Error:
    """EC2's answer when fewer addresses are free than the prefixes ask for; no_cidr_block() is for fragmentation."""
    return invalid_value("There aren't sufficient free Ipv4 addresses or prefixes")


def address_limit() -> Ec2Error:
    return Ec2Error("PrivateIpAddressLimitExceeded", "Number of private addresses will exceed limit.")


def attachment_limit(count: int, instance_type: str) -> Ec2Error:
    return Ec2Error("AttachmentLimitExceeded", f"Interface count {count} exceeds the limit for {instance_type}")


def throttled() -> Ec2Error:
    return Ec2Error("RequestLimitExceeded", "Request limit exceeded.", 503)


def unauthorized(action: str, caller: str) -> Ec2Error:
    return Ec2Error(
        "UnauthorizedOperation",
        f"You are not authorized to perform this operation. User: {caller} is not authorized to perform: "
        f"ec2:{action} because no identity-based policy allows the ec2:{action} action",
        403,
    )


def dry_run() -> Ec2Error:
    return Ec2Error("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)


def invalid_action(action: str) -> Ec2Error:
    return Ec2Error("InvalidAction", f"The action {action} is not valid for this web service.")


def internal(
    message: str = "An internal error has occurred", code: str = "InternalError", status: int = 500
) -> Ec2Error:
    return Ec2Error(code, message, status)

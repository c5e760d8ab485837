"""EC2's error codes -> what they mean for us. By code only: messages are EC2's to change.

(Codes: EC2 API reference, "Error codes for the Amazon EC2 API".)
"""

from __future__ import annotations

import enum
from typing import Final

from vpccni_api.reasons import Reason, ReasonError


class Failure(enum.Enum):
    """What a failed call tells about its effect, and whether asking again can help."""

    THROTTLED = "throttled"  # refused before it did anything: ask again later, and slower
    NOT_SENT = "not sent"  # no connection: nothing happened
    UNCERTAIN = "uncertain"  # server error or no answer: it may have happened
    REFUSED = "refused"  # EC2 said no; nothing happened and the same call will be refused again


THROTTLE_CODES: Final = frozenset(
    {
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequestsException",
        "EC2ThrottledException",
        "SlowDown",
        "Client.RequestLimitExceeded",
    }
)
SERVER_CODES: Final = frozenset({"InternalError", "InternalFailure", "ServerInternal", "RequestTimeout"})
# Refused at the door: nothing was done.
UNAVAILABLE_CODES: Final = frozenset({"Unavailable", "ServiceUnavailable"})
DENIED_CODES: Final = frozenset(
    {
        "UnauthorizedOperation",
        "AuthFailure",
        "AccessDenied",
        "AccessDeniedException",
        "InvalidClientTokenId",
        "MissingAuthenticationToken",
        "OptInRequired",
        "Blocked",
        "ExpiredToken",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "NoCredentials",
    }
)
SUBNET_FULL_CODES: Final = frozenset({"InsufficientFreeAddressesInSubnet"})
NO_PREFIX_CODES: Final = frozenset({"InsufficientCidrBlocks"})
INSUFFICIENT_CODES: Final = SUBNET_FULL_CODES | NO_PREFIX_CODES
ADDRESS_LIMIT: Final = "PrivateIpAddressLimitExceeded"
ATTACHMENT_LIMIT: Final = "AttachmentLimitExceeded"
ENI_NOT_FOUND: Final = "InvalidNetworkInterfaceID.NotFound"
ATTACHMENT_NOT_FOUND: Final = "InvalidAttachmentID.NotFound"
ENI_IN_USE: Final = frozenset({"InvalidNetworkInterface.InUse", "InvalidParameterValue"})
INVALID_VALUE: Final = "InvalidParameterValue"
# What a wrong ENIConfig is answered with, and the field that is wrong.
PROFILE_FIELDS: Final = {
    "InvalidSubnetID.NotFound": "subnet",
    "InvalidSubnetId.NotFound": "subnet",
    "InvalidSubnetID.Malformed": "subnet",
    "InvalidSubnet": "subnet",
    "InvalidGroup.NotFound": "securityGroups",
    "InvalidGroupId.Malformed": "securityGroups",
    "InvalidSecurityGroupID.NotFound": "securityGroups",
    "SecurityGroupsPerInterfaceLimitExceeded": "securityGroups",
}


def failure_of(code: str, http_status: int) -> Failure:
    """Class of an answered error."""
    if code in THROTTLE_CODES or (http_status == 429 and code not in DENIED_CODES):
        return Failure.THROTTLED
    if code in UNAVAILABLE_CODES:
        return Failure.NOT_SENT
    if code in SERVER_CODES or http_status >= 500:
        return Failure.UNCERTAIN
    return Failure.REFUSED


def reason_of(code: str, failure: Failure) -> Reason:
    """The reason under which the failure leaves this process, when nothing better is known where it happened."""
    if failure is Failure.THROTTLED:
        return Reason.EC2_THROTTLED
    if failure is not Failure.REFUSED:
        return Reason.EC2_UNREACHABLE
    if code in DENIED_CODES:
        return Reason.IAM_DENIED
    if code in SUBNET_FULL_CODES:
        return Reason.SUBNET_FULL
    if code in NO_PREFIX_CODES:
        return Reason.SUBNET_NO_PREFIX
    if code in (ADDRESS_LIMIT, ATTACHMENT_LIMIT):
        return Reason.ENI_LIMIT
    return Reason.EC2_REFUSED


class Ec2Error(ReasonError):
    """A call to EC2 that failed for good. ``code``: EC2's, verbatim, or the name of what went wrong on the way there."""

    def __init__(self, api: str, code: str, failure: Failure, message: str, request_id: str = "") -> None:
        shown = f"ec2:{api}: {code}: {message}" + (f" (request {request_id})" if request_id else "")
        super().__init__(reason_of(code, failure), shown)
        self.api = api
        self.code = code
        self.failure = failure
        self.request_id = request_id

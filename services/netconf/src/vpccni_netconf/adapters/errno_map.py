"""errno of a refused kernel change -> ReasonError that names the command."""

from __future__ import annotations

import errno
import os

from vpccni_api.reasons import Reason, ReasonError

from vpccni_netconf.domain.objects import Address, Neighbour, Route, Rule
from vpccni_netconf.domain.ops import CreatePodLink, DeleteLink, Ensure, Op, PurgeRules, Remove

_GONE = frozenset({errno.ENOENT, errno.ESRCH, errno.ENODEV, errno.EADDRNOTAVAIL, errno.ENXIO})


def tolerated(op: Op, number: int) -> bool:
    """True when the errno means that the op had nothing to do. ENOENT is "no such rule", ESRCH "no such route"."""
    match op:
        case Ensure(Address()):
            return number == errno.EEXIST
        case Remove(Rule()) | PurgeRules():
            return number == errno.ENOENT
        case Remove(Route()):
            return number in (errno.ESRCH, errno.ENODEV)
        case Remove(Address()):
            return number in (errno.EADDRNOTAVAIL, errno.ENODEV)
        case Remove(Neighbour()):
            return number in (errno.ENOENT, errno.ENODEV)
        case DeleteLink():
            return number == errno.ENODEV
        case _:
            return False


def refused(op: Op, number: int, kernel_text: str) -> ReasonError:
    """The command, what the kernel says, and the errno. A link that is not there (any more) is LINK_MISSING."""
    said = f"{kernel_text.rstrip('.')}: " if kernel_text else ""
    message = f"{op}: {said}{os.strerror(number)} ({errno.errorcode.get(number, number)})"
    if isinstance(op, CreatePodLink) and number == errno.EEXIST:
        return ReasonError(Reason.LINK_EXISTS, message)
    if isinstance(op, Ensure) and number in (errno.ENODEV, errno.ENXIO):
        return ReasonError(Reason.LINK_MISSING, message)
    return ReasonError(Reason.KERNEL_REFUSED, message)

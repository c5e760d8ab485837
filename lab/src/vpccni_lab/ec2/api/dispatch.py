"""One API call from arrival to answer, without HTTP: faults, throttling, the action, the log."""

from __future__ import annotations

import dataclasses
import uuid

from vpccni_lab.ec2 import errors
from vpccni_lab.ec2.api.actions import ACTIONS
from vpccni_lab.ec2.api.params import Params, Result
from vpccni_lab.ec2.calls import Call, CallLog, summarise
from vpccni_lab.ec2.errors import Ec2Error
from vpccni_lab.ec2.faults import Kind, Scope
from vpccni_lab.ec2.world import World


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """``error`` or ``result``. ``delay``: seconds before it goes out; ``cut``: after that the connection is closed instead."""

    request_id: str
    result: Result = dataclasses.field(default_factory=dict)
    error: Ec2Error | None = None
    delay: float = 0.0
    cut: bool = False

    @property
    def code(self) -> str:
        return "NoAnswer" if self.cut else self.error.code if self.error else "OK"

    def value(self) -> Result:
        """The result. Raises the Ec2Error, or TimeoutError where no answer would have come."""
        if self.cut:
            raise TimeoutError(f"no answer (request {self.request_id})")
        if self.error:
            raise self.error
        return self.result


def call(world: World, log: CallLog, caller: str, action: str, params: Params) -> Reply:
    """Never raises for what a client did; the model is brought up to date first, the call is added to ``log``."""
    world.timeline.run(world.now())
    now = world.now()
    request_id = str(uuid.UUID(int=world.rng.getrandbits(128), version=4))
    with world.during(caller, action):
        reply = _answer(world, world.scope(), action, params, request_id)
    log.add(Call(now, caller, action, summarise(params), reply.code, reply.delay, request_id))
    return reply


def _answer(world: World, scope: Scope, action: str, params: Params, request_id: str) -> Reply:
    now, faults = world.now(), world.faults
    if action not in ACTIONS:
        return Reply(request_id, error=errors.invalid_action(action))
    late = faults.find(Kind.DELAY, scope, now)
    delay = late.seconds if late else 0.0
    for kind in (Kind.RESET, Kind.TIMEOUT):
        fault = faults.find(kind, scope, now)
        if fault:
            if fault.executes:
                _execute(world, scope, action, params)
            return Reply(request_id, delay=fault.seconds if kind == Kind.TIMEOUT else 0.0, cut=True)
    outcome = _execute(world, scope, action, params)
    if isinstance(outcome, Ec2Error):
        return Reply(request_id, error=outcome, delay=delay)
    return Reply(request_id, outcome, delay=delay)


def _execute(world: World, scope: Scope, action: str, params: Params) -> Result | Ec2Error:
    now, faults = world.now(), world.faults
    fault = faults.find(Kind.ERROR, scope, now)
    if fault:
        return errors.internal(
            fault.message or "An internal error has occurred", fault.code or "InternalError", fault.status
        )
    if faults.find(Kind.THROTTLE, scope, now):
        return errors.throttled()
    if faults.find(Kind.DENY, scope, now):
        return errors.unauthorized(action, scope.callers[0] if scope.callers else "unknown")
    if params.get("DryRun"):
        return errors.dry_run()
    try:
        return ACTIONS[action](world, params)
    except Ec2Error as error:
        return error

"""boto3's EC2 client, made when it is first needed: SDK retries off, endpoint by the standard variables."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import pathlib
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from vpccni_api.reasons import ReasonError

from vpccni_eni_manager.adapters import ec2_model
from vpccni_eni_manager.adapters.aws_errors import from_boto
from vpccni_eni_manager.adapters.ec2_call import Answer
from vpccni_eni_manager.domain.ec2_errors import Ec2Error, Failure

log = logging.getLogger(__name__)

_METHODS: Final = {
    name: "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_") for name in ec2_model.ACTIONS
}


# The child that makes the model needs a second; without it the whole model does.
_MODEL_WAIT_S: Final = 10.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """``endpoint``: empty for the standard variables and the region's own. ``timeout_s``: connect and read, each.

    ``region``: asked when the client is made; may raise ReasonError (IMDS does not answer).
    """

    region: Callable[[], str]
    endpoint: str
    timeout_s: int
    user_agent: str
    connections: int


class BotoTransport:
    """One client for all threads (boto3 clients are thread safe; making one is not).

    ``model``: set when it is known where the cut EC2 model is (``model_path``), or that there is none.
    """

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self.model = threading.Event()
        self.model_path: pathlib.Path | None = None
        self._lock = threading.Lock()
        self._client: Any = None

    def attempt(self, api: str, params: Mapping[str, Any]) -> Answer:
        """Raises Ec2Error."""
        try:
            method = getattr(self._ready(), _METHODS[api])
            answer: Answer = method(**params)
        except ReasonError as error:
            raise Ec2Error(api, "NoRegion", Failure.NOT_SENT, error.message) from error
        except Exception as error:  # everything boto3 can raise is mapped, none swallowed
            raise from_boto(api, error) from error
        return answer

    def close(self) -> None:
        with self._lock:
            if self._client is not None:
                self._client.close()

    def _ready(self) -> Any:
        with self._lock:
            if self._client is None:
                self.model.wait(_MODEL_WAIT_S)
                self._client = _make_client(self._settings, self.model_path)
            return self._client


def _make_client(settings: ClientSettings, model: pathlib.Path | None) -> Any:
    import boto3.session
    import botocore.session
    from botocore.config import Config

    session = botocore.session.Session()
    if model is not None:
        session.set_config_variable("data_path", str(model))
    session.set_config_variable("metadata_service_num_attempts", 3)
    config = Config(
        retries={"mode": "standard", "total_max_attempts": 1},
        connect_timeout=settings.timeout_s,
        read_timeout=settings.timeout_s,
        max_pool_connections=settings.connections,
        user_agent_extra=settings.user_agent,
    )
    return boto3.session.Session(botocore_session=session).client(
        "ec2", region_name=settings.region(), endpoint_url=settings.endpoint or None, config=config
    )


def find_model(directories: Sequence[str]) -> pathlib.Path | None:
    """The cut model in the first directory that has it."""
    import botocore

    for directory in directories:
        path = ec2_model.data_path(directory, botocore.__version__)
        if ec2_model.model_file(path).exists():
            return path
    return None


async def provide_model(transport: BotoTransport, directories: Sequence[str]) -> None:
    """Finds the cut model, or has a child process make it in the first directory that can be written."""
    found = find_model(directories)
    for directory in directories:
        if found is not None:
            break
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", ec2_model.__name__, directory, stderr=asyncio.subprocess.PIPE
        )
        _, problem = await child.communicate()
        if child.returncode:
            log.info("no EC2 model in %s: %s", directory, problem.decode(errors="replace").strip().rsplit("\n", 1)[-1])
        found = find_model(directories)
    if found is None:
        log.warning("the whole EC2 model is loaded, at a cost of some 13 MB: no directory for the cut one")
    transport.model_path = found
    transport.model.set()

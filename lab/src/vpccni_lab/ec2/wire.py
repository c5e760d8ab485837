"""EC2's query protocol both ways, from botocore's own model of the API: form parameters in, XML out.

moto's model-driven parser and serializer do the work; what they leave out (the error document, refusing what cannot be
parsed) is here.
"""

from __future__ import annotations

import functools
import urllib.parse
from collections.abc import Mapping
from typing import Any, Final
from xml.sax.saxutils import escape

from botocore.loaders import Loader
from moto.core.model import ServiceModel
from moto.core.parse import EC2QueryParser
from moto.core.serialize import EC2Serializer, SerializationContext

from vpccni_lab.ec2 import errors

API_VERSION: Final = "2016-11-15"


@functools.cache
def _service() -> Any:
    return ServiceModel(Loader().load_service_model("ec2", "service-2", API_VERSION), "ec2")


@functools.cache
def _operation(action: str) -> Any:
    return _service().operation_model(action)


def form(text: str) -> dict[str, str]:
    """Query string or form body; the last of a repeated key wins, as no EC2 client repeats one."""
    return dict(urllib.parse.parse_qsl(text, keep_blank_values=True))


def parse(action: str, values: Mapping[str, str]) -> dict[str, Any]:
    """Parameters by the model's member names. Raises Ec2Error InvalidParameterValue for a number that is none."""
    try:
        parsed: dict[str, Any] = EC2QueryParser(_operation(action)).parse({"values": values})
    except (ValueError, TypeError) as error:
        raise errors.invalid_value(f"A parameter of {action} is invalid: {error}") from error
    return parsed


def answer(action: str, result: Mapping[str, Any], request_id: str) -> str:
    """The XML document of a result."""
    operation = _operation(action)
    if operation.output_shape is None:
        # Actions without output in the model answer <return>true</return>.
        return (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<{action}Response xmlns="http://ec2.amazonaws.com/doc/{API_VERSION}/">'
            f"<requestId>{request_id}</requestId><return>true</return></{action}Response>"
        )
    body: str = EC2Serializer(operation, context=SerializationContext(request_id)).serialize(result)["body"]
    return body


def error_answer(error: errors.Ec2Error, request_id: str) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error>'
        f"<Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message>"
        f"</Error></Errors><RequestID>{request_id}</RequestID></Response>"
    )


def access_key(authorization: str, values: Mapping[str, str]) -> str:
    """Access key id of a signed request (Signature Version 4 header or query, or Version 2 query); "" if unsigned."""
    credential = values.get("X-Amz-Credential", "")
    if authorization.startswith("AWS4-HMAC-SHA256"):
        for part in authorization.removeprefix("AWS4-HMAC-SHA256").split(","):
            name, _, value = part.strip().partition("=")
            if name == "Credential":
                credential = value
    return credential.split("/")[0] or values.get("AWSAccessKeyId", "")

"""botocore's exceptions -> Ec2Error. The most specific first; what is not listed is a refusal, never a retry."""

from __future__ import annotations

from typing import Any

from botocore import exceptions as boto

from vpccni_eni_manager.domain.ec2_errors import Ec2Error, Failure, failure_of

_NOT_SENT = (
    boto.EndpointConnectionError,
    boto.ConnectTimeoutError,
    boto.ProxyConnectionError,
    boto.SSLError,
    boto.NoRegionError,
)
_NO_CREDENTIALS = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.MetadataRetrievalError,
)


def from_boto(api: str, error: Exception) -> Ec2Error:
    """``error``: whatever the client raised."""
    if isinstance(error, boto.ClientError):
        answer: dict[str, Any] = error.response
        told, meta = answer.get("Error", {}), answer.get("ResponseMetadata", {})
        code, status = str(told.get("Code", "Unknown")), int(meta.get("HTTPStatusCode", 400))
        return Ec2Error(
            api, code, failure_of(code, status), str(told.get("Message", "")), str(meta.get("RequestId", ""))
        )
    name = type(error).__name__.removesuffix("Error")
    if isinstance(error, _NO_CREDENTIALS):
        return Ec2Error(api, "NoCredentials", Failure.REFUSED, f"{error} (node role or IRSA)")
    if isinstance(error, _NOT_SENT):
        return Ec2Error(api, name, Failure.NOT_SENT, str(error))
    if isinstance(error, boto.HTTPClientError | boto.ConnectionError) or "ResponseParser" in name:
        return Ec2Error(api, name, Failure.UNCERTAIN, str(error))
    return Ec2Error(api, name, Failure.REFUSED, str(error))

"""Takes secrets out of text and of values: by the names that they go by, and by what they look like. Pure."""

from __future__ import annotations

import re
from typing import Any, Final

MASKED: Final = "***"
_NAME: Final = (
    r"[\w.\-]*(?:secret|token|passw(?:or)?d|passphrase|credential|private[_-]?key|access[_-]?key|api[_-]?key|signature"
    r"|authorization|otlp[_\w]*headers|cookie)[\w.\-]*"
)
_SECRET_NAME: Final = re.compile(_NAME, re.IGNORECASE)
# What says where a secret is, or that there is one, is no secret.
_PLAIN_NAMES: Final = re.compile(r"^(?:automountserviceaccounttoken|.*token_?(?:file|path|ttl).*)$", re.IGNORECASE)
_PATTERNS: Final = (
    (re.compile(r"(?P<keep>\b(?:Bearer|Basic)\s+)(?P<hide>[\w.\-+/=]{8,})", re.IGNORECASE), True),
    (
        re.compile(rf"""(?P<keep>["']{_NAME}["']\s*,\s*["'])(?P<hide>[^"']+)""", re.IGNORECASE),
        True,
    ),  # ('name', 'value')
    # name: "value", with blanks in it; then name=value and name: value
    (re.compile(rf"""(?P<keep>\b{_NAME}["']?\s*[=:]\s*")(?P<hide>(?:[^"\\]|\\.)*)(?=")""", re.IGNORECASE), True),
    (re.compile(rf"""(?P<keep>\b{_NAME}["']?\s*[=:]\s*["']?)(?P<hide>[^\s"',;&}}]+)""", re.IGNORECASE), True),
    (re.compile(r"(?P<keep>://[^\s/:@]*:)(?P<hide>[^\s/@]+)(?=@)"), True),
    (re.compile(r"(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}"), False),
    (re.compile(r"eyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]*"), False),  # JSON web token
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), False),
)


def is_secret_name(name: str) -> bool:
    return _SECRET_NAME.fullmatch(name) is not None and _PLAIN_NAMES.match(name) is None


def text(given: str) -> str:
    """``given`` with every secret replaced."""
    for pattern, named in _PATTERNS:
        given = pattern.sub(rf"\g<keep>{MASKED}" if named else MASKED, given)
    return given


def value(given: Any, name: str = "") -> Any:
    """Mappings, sequences and strings, at any depth. ``name``: the key that the value has."""
    if isinstance(given, dict):
        return {key: value(item, str(key)) for key, item in given.items()}
    if isinstance(given, (list, tuple)):
        return [value(item, name) for item in given]
    if isinstance(given, str):
        return MASKED if given and is_secret_name(name) else text(given)
    return given

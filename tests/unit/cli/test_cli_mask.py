"""Secrets are taken out by name and by look; what is no secret stays."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vpccni_cli import mask

_KEY = "AKIA" + "Q" * 16
_JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzeXN0ZW0ifQ.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("given", "secret"),
    [
        ("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG", "wJalrXUtnFEMI/K7MDENG"),
        ('{"password": "two words, and more"}', "words"),
        ("Authorization: Bearer abcdefgh.ijkl", "abcdefgh"),
        ("X-Amz-Security-Token=IQoJb3JpZ2lu&x=1", "IQoJb3JpZ2lu"),
        ("https://user:hunter2@host/path", "hunter2"),
        (f"signed by {_KEY}.", _KEY),
        (f"sent {_JWT} on", _JWT),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIB\n-----END RSA PRIVATE KEY-----", "MIIEpAIB"),
        ("OTEL_EXPORTER_OTLP_HEADERS=api=s3cr3t", "s3cr3t"),
        ("'api_key': 'k-123'", "k-123"),
        ("(('api-token', 'k 123'),)", "123"),
    ],
)
def test_a_secret_is_gone(given: str, secret: str) -> None:
    assert secret in given
    assert secret not in mask.text(given) and mask.MASKED in mask.text(given)


@pytest.mark.parametrize(
    "text",
    [
        '{"reason": "SUBNET_FULL", "pod": "default/web", "trace_id": "4f2c"}',
        'awscni_assigned_ip_addresses{eni="eni-1"} 3',
        "ec2:AssignPrivateIpAddresses: RequestLimitExceeded (request 6a1-9)",
        "https://ec2.us-west-2.amazonaws.com/",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert mask.text(text) == text


@given(st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1))
def test_a_value_with_a_secret_name_is_gone_at_any_depth(secret: str) -> None:
    masked = mask.value({"a": [{"db_password": secret, "name": "web"}], "tokens": [secret]})
    assert masked == {"a": [{"db_password": mask.MASKED, "name": "web"}], "tokens": [mask.MASKED]}


def test_the_command_masks_what_comes_in() -> None:
    words = [sys.executable, "-m", "vpccni_cli", "mask"]
    done = subprocess.run(words, input=f"a {_JWT} b\n", capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "a *** b\n")

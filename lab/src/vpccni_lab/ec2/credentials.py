"""Credentials that IMDS hands out: made from the instance id, so that the EC2 endpoint can tell whose they are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from vpccni_lab.ec2.records import Instance


def access_key_of(instance_id: str) -> str:
    """ASIA and 16 characters, as temporary access key ids are."""
    return "ASIA" + hashlib.sha256(instance_id.encode()).hexdigest()[:16].upper()


def secret_of(instance_id: str) -> str:
    return hashlib.sha256(b"secret " + instance_id.encode()).hexdigest()[:40]


def owner_of(instances: Iterable[Instance], access_key: str) -> Instance | None:
    return next((i for i in instances if access_key_of(i.id) == access_key), None)

"""The plugin's message tables are those of ipam.proto, field by field."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from vpccni_api.ipam.v1 import ipam_pb2
from vpccni_plugin import messages
from vpccni_plugin.protowire import MESSAGE, REPEATED, STRING, UINT

TABLES = {
    "AddPodRequest": messages.ADD_POD_REQUEST,
    "AddPodResponse": messages.ADD_POD_RESPONSE,
    "DelPodRequest": messages.DEL_POD_REQUEST,
    "CheckPodRequest": messages.CHECK_POD_REQUEST,
    "GcRequest": messages.GC_REQUEST,
    "GcResponse": messages.GC_RESPONSE,
    "StatusRequest": messages.STATUS_REQUEST,
}
KINDS = {
    FieldDescriptor.TYPE_STRING: STRING,
    FieldDescriptor.TYPE_UINT32: UINT,
    FieldDescriptor.TYPE_UINT64: UINT,
    FieldDescriptor.TYPE_BOOL: UINT,
    FieldDescriptor.TYPE_MESSAGE: MESSAGE,
}


def check(descriptor: Descriptor, table: Any) -> None:
    assert list(table) == [field.number for field in descriptor.fields]
    for field in descriptor.fields:
        name, kind, sub = table[field.number]
        assert name == field.name
        assert kind == (REPEATED if field.is_repeated else KINDS[field.type])
        if field.message_type:
            check(field.message_type, sub)
        else:
            assert sub is None


@pytest.mark.parametrize("name", TABLES)
def test_table(name: str) -> None:
    check(ipam_pb2.DESCRIPTOR.message_types_by_name[name], TABLES[name])


def test_every_message_that_the_plugin_sends_or_reads_has_a_table() -> None:
    service = ipam_pb2.DESCRIPTOR.services_by_name["Ipam"]
    assert f"/{service.full_name}/" == messages.SERVICE
    plugin_calls = [method for method in service.methods if method.name != "Inspect"]
    wanted = {method.input_type.name for method in plugin_calls}
    wanted |= {method.output_type.name for method in plugin_calls if method.output_type.fields}
    assert wanted == set(TABLES)

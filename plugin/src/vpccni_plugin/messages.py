"""The messages of proto/src/vpccni_api/ipam/v1/ipam.proto that the plugin uses, as tables for protowire.

tests/contract/plugin/test_plugin_messages.py holds names, numbers and types against the compiled proto.
"""

from __future__ import annotations

from vpccni_plugin.protowire import MESSAGE, REPEATED, STRING, UINT

SERVICE = "/vpccni.ipam.v1.Ipam/"

POD_INTERFACE = {
    1: ("network_name", STRING, None),
    2: ("container_id", STRING, None),
    3: ("ifname", STRING, None),
}
POD_IDENTITY = {
    1: ("namespace", STRING, None),
    2: ("name", STRING, None),
    3: ("uid", STRING, None),
    4: ("infra_container_id", STRING, None),
}
POD_NET_CONF = {
    1: ("veth_prefix", STRING, None),
    2: ("mtu", UINT, None),
    3: ("sg_enforcing_mode", STRING, None),
}
RESULT_INTERFACE = {
    1: ("name", STRING, None),
    2: ("mac", STRING, None),
    3: ("sandbox", STRING, None),
}
RESULT_IP = {
    1: ("address", STRING, None),
    2: ("gateway", STRING, None),
    3: ("interface", UINT, None),
}
CNI_RESULT = {
    1: ("interfaces", REPEATED, RESULT_INTERFACE),
    2: ("ips", REPEATED, RESULT_IP),
}
ADD_POD_REQUEST = {
    1: ("key", MESSAGE, POD_INTERFACE),
    2: ("pod", MESSAGE, POD_IDENTITY),
    3: ("netns", STRING, None),
    4: ("conf", MESSAGE, POD_NET_CONF),
    5: ("plugin_version", STRING, None),
    6: ("started_unix_ns", UINT, None),
    7: ("multi_nic", UINT, None),
}
ADD_POD_RESPONSE = {
    1: ("result", MESSAGE, CNI_RESULT),
}
# DelPodRequest and CheckPodRequest are alike.
DEL_POD_REQUEST = {
    1: ("key", MESSAGE, POD_INTERFACE),
    2: ("pod", MESSAGE, POD_IDENTITY),
    3: ("netns", STRING, None),
    4: ("conf", MESSAGE, POD_NET_CONF),
    5: ("plugin_version", STRING, None),
    6: ("started_unix_ns", UINT, None),
    7: ("prev_result", MESSAGE, CNI_RESULT),
}
CHECK_POD_REQUEST = DEL_POD_REQUEST
GC_REQUEST = {
    1: ("network_name", STRING, None),
    2: ("valid_attachments", REPEATED, POD_INTERFACE),
    3: ("plugin_version", STRING, None),
}
GC_RESPONSE = {
    1: ("released", UINT, None),
}
STATUS_REQUEST = {
    1: ("plugin_version", STRING, None),
}

"""Everything that ipam has of Kubernetes, joined here. Without it ADD and DEL are served all the same."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

from vpccni_api.reasons import Reason, ReasonError
from vpccni_kit.clock import Clock
from vpccni_kit.health import HealthBoard
from vpccni_kit.settings import Values

from vpccni_ipam import settings as s
from vpccni_ipam.adapters.eni_config_files import EniConfigFiles, kept
from vpccni_ipam.adapters.kubernetes_api import ENI_CONFIGS, NODES, PODS, KubernetesApi
from vpccni_ipam.adapters.kubernetes_http import ACCOUNT, Http, access
from vpccni_ipam.adapters.kubernetes_writes import KubernetesEvents, NodeStatus, NodeTrunk, PodAnnotations
from vpccni_ipam.annotate import Annotate
from vpccni_ipam.domain.eni_config import EniConfig
from vpccni_ipam.domain.event_filter import Subject
from vpccni_ipam.domain.model import Assignment, PodIdentity
from vpccni_ipam.domain.node_state import DEFAULT_ENI_CONFIG, NodeState, node_state
from vpccni_ipam.domain.pod_eni import FEATURE_CUSTOM, FEATURE_GROUPS, PodFacts, pod_facts
from vpccni_ipam.eni_configs import EniConfigs
from vpccni_ipam.events import Events
from vpccni_ipam.node_state import OwnNode
from vpccni_ipam.pod_eni import OwnPods
from vpccni_ipam.say_condition import SayCondition
from vpccni_ipam.trunk_wish import TrunkWish

log = logging.getLogger(__name__)
_GRACE_S: Final = 3.0
"""How long start-up waits for the API server where it can do without."""
_NAMESPACE: Final = "kube-system"
Task = Coroutine[Any, Any, None]


class KubernetesEdge:
    """``changed``: called when the node or its ENIConfig changed."""

    def __init__(self, values: Values, clock: Clock, health: HealthBoard, changed: Callable[[], None]) -> None:
        self._values = values
        self._health = health
        self._error: ReasonError | None = None
        self.wanted = values[s.KUBERNETES] != "off"
        name = values[s.MY_NODE_NAME]
        labels, annotations = values[s.NODE_LABELS], values[s.NODE_ANNOTATIONS]
        given = NodeState(name, labels=dict(labels), annotations=dict(annotations))
        self.node = OwnNode(changed, None if self.wanted else given)
        keys = values[s.ENI_CONFIG_ANNOTATION_DEF], values[s.ENI_CONFIG_LABEL_DEF]
        self.eni_configs = EniConfigs(self.node, *keys, changed) if values[s.CUSTOM_NETWORK_CFG] else None
        self.events: Events | None = None
        self._annotate: Annotate | None = None
        self.pods: OwnPods | None = None
        self.refusal: Callable[[], ReasonError | None] = lambda: None
        """What an ADD would be refused with now, for want of an address."""
        self.has_trunk: Callable[[], bool] = lambda: False
        self.may_have_trunk: Callable[[], bool] = lambda: False
        self._tasks: list[tuple[str, Callable[[], Task]]] = []
        if not self.wanted:
            self._without_kubernetes()
            return
        try:
            api = KubernetesApi(Http(access(os.environ, values[s.CLUSTER_ENDPOINT])))
        except ReasonError as error:
            self._error = error
            log.error("Kubernetes: %s", error, extra={"reason": str(error.reason)})
            return
        self._with_kubernetes(api, clock, name)

    def _with_kubernetes(self, api: KubernetesApi, clock: Clock, name: str) -> None:
        own_pod = Subject("Pod", self._values[s.MY_POD_NAME] or "aws-node", _namespace())
        self.events = Events(KubernetesEvents(api, name), clock, Subject("Node", name), own_pod)
        node = api.watch(NODES, {"fieldSelector": f"metadata.name={name}"}, node_state, self.node.take, self._state)
        self._tasks += [("events", self.events.run), ("watch of the node", node.run)]
        if self._values[s.NODE_CONDITION]:
            say = SayCondition(NodeStatus(api, name), clock, self._refusal_now, self._node_uid)
            self._tasks.append(("node condition", say.run))
        if self._values[s.ANNOTATE_POD_IP]:
            self._annotate = Annotate(PodAnnotations(api))
            self._tasks.append(("pod annotations", self._annotate.run))
        if self._values[s.ENABLE_POD_ENI]:
            self._with_pod_enis(api, name)
        if self.eni_configs is not None:
            configs = api.watch(ENI_CONFIGS, {}, kept, self._take_configs, self._other_state)
            self._tasks.append(("watch of the ENIConfigs", configs.run))

    def _with_pod_enis(self, api: KubernetesApi, name: str) -> None:
        async def ask(pod: PodIdentity) -> PodFacts | None:
            found = await api.get(PODS, pod.name, pod.namespace)
            return pod_facts(found) if found is not None else None

        self.pods = OwnPods(ask)
        of_this_node = {"fieldSelector": f"spec.nodeName={name}"}
        watch = api.watch(PODS, of_this_node, pod_facts, self.pods.take, self._other_state)
        wish = TrunkWish(NodeTrunk(api, name), self._trunk_features, self._trunk_attached)
        self._tasks += [("watch of the pods", watch.run), ("wish for a trunk", wish.run)]

    def _trunk_attached(self) -> bool:
        return self.has_trunk()

    def _trunk_features(self) -> Mapping[str, str]:
        """No features while the instance has no place for a trunk."""
        if not (self.has_trunk() or self.may_have_trunk()):
            return {}
        custom = self.eni_configs.name if self.eni_configs is not None else ""
        named = {FEATURE_CUSTOM: custom} if custom and custom != DEFAULT_ENI_CONFIG else {}
        return {FEATURE_GROUPS: ""} | named

    def _without_kubernetes(self) -> None:
        for setting in (s.ANNOTATE_POD_IP, s.ENABLE_POD_ENI, s.NODE_CONDITION):
            if self._values[setting]:
                log.warning("%s has no effect with %s=off", setting.name, s.KUBERNETES.name)
        if self.eni_configs is not None:
            files = EniConfigFiles(self._values[s.ENI_CONFIG_DIR], self.eni_configs.take)
            self._tasks.append(("ENIConfig files", files.run))

    def start(self, spawn: Callable[[Task, str], object]) -> None:
        for name, run in self._tasks:
            spawn(run(), name)

    async def settle(self) -> None:
        """Start-up: until the node is known, for a while. Raises ReasonError(KUBERNETES_UNREACHABLE) where it is required."""
        required = self._values[s.KUBERNETES] == "required"
        if self._error is not None:
            await self._state(self._error)
        if self._error is None or not required:
            try:
                async with asyncio.timeout(self._values[s.KUBERNETES_WAIT] if required else _GRACE_S):
                    await self.node.known.wait()
                return
            except TimeoutError:
                pass
        error = self._error or ReasonError(
            Reason.KUBERNETES_UNREACHABLE, f"the API server does not know node {self.node_name!r}"
        )
        if required:
            raise error
        log.warning("starting without Kubernetes: %s", error, extra={"reason": str(error.reason)})

    @property
    def node_name(self) -> str:
        return self._values[s.MY_NODE_NAME]

    def _refusal_now(self) -> ReasonError | None:
        return self.refusal()

    def _node_uid(self) -> str:
        return self.node.state.uid if self.node.state else ""

    @property
    def pod_capacity(self) -> int:
        """Pods that kubelet runs at most; 0: not known."""
        return self.node.state.pod_capacity if self.node.state else 0

    def added(self, item: Assignment) -> None:
        if self._annotate is not None:
            self._annotate.added(item.pod, item.address)

    def released(self, item: Assignment) -> None:
        if self._annotate is not None:
            self._annotate.deleted(item.pod, item.address)

    def add_failed(self, pod: PodIdentity, error: ReasonError) -> None:
        if self.events is not None:
            self.events.pod_failed(pod, error)

    def growth_failed(self, error: ReasonError) -> None:
        if self.events is not None:
            self.events.growth_failed(error)

    def bad_settings(self, found: Mapping[str, str]) -> None:
        """Malformed settings of any of the three services: name -> what is wrong, and what is used instead."""
        if self.events is not None:
            for name, text in found.items():
                self.events.bad_setting(name, text)

    def _take_configs(self, found: Mapping[tuple[str, str], tuple[str, EniConfig | ReasonError]]) -> None:
        assert self.eni_configs is not None
        self.eni_configs.take(dict(found.values()))

    async def _state(self, error: ReasonError | None) -> None:
        """The dependency "apiserver" is what the watch of the node says."""
        if error is None:
            await self._health.up("apiserver")
        else:
            if self._health.dependencies["apiserver"].message != error.message:
                log.warning("Kubernetes API: %s", error, extra={"reason": str(error.reason)})
            await self._health.down("apiserver", str(error.reason), error.message)
        self._error = error

    async def _other_state(self, error: ReasonError | None) -> None:
        if error is not None:
            log.warning("Kubernetes API: %s", error, extra={"reason": str(error.reason)})


def _namespace() -> str:
    try:
        return (ACCOUNT / "namespace").read_text().strip() or _NAMESPACE
    except OSError:
        return _NAMESPACE

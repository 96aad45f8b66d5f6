"""Local copies of what the server has, kept up to date: store, reflector, informers."""

from modelinfer_controller.kube.cache.group import InformerGroup
from modelinfer_controller.kube.cache.handlers import DeletedFinalStateUnknown, ResourceEventHandler, last_state
from modelinfer_controller.kube.cache.informer import HandlerRegistration, SharedInformer
from modelinfer_controller.kube.cache.optional import OptionalInformer, is_resource_served
from modelinfer_controller.kube.cache.reflector import ReflectorCounters, ResourceNotServed
from modelinfer_controller.kube.cache.source import ResourceSource
from modelinfer_controller.kube.cache.store import Indexers, IndexFunc, Lister, Store, by_controller_uid

__all__ = [
    "DeletedFinalStateUnknown",
    "HandlerRegistration",
    "IndexFunc",
    "Indexers",
    "InformerGroup",
    "Lister",
    "OptionalInformer",
    "ReflectorCounters",
    "ResourceEventHandler",
    "ResourceNotServed",
    "ResourceSource",
    "SharedInformer",
    "Store",
    "by_controller_uid",
    "is_resource_served",
    "last_state",
]

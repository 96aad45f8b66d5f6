"""Local copies of what the server has, kept up to date: store, reflector, informers."""

from modelinfer_controller.kube.cache.discovered_informer import DiscoveredInformer, is_resource_served
from modelinfer_controller.kube.cache.factory import SharedInformerFactory
from modelinfer_controller.kube.cache.handlers import DeletedFinalStateUnknown, ResourceEventHandler, last_state
from modelinfer_controller.kube.cache.informer import HandlerRegistration, SharedInformer
from modelinfer_controller.kube.cache.reflector import ReflectorCounters, ResourceNotServed
from modelinfer_controller.kube.cache.source import ResourceSource
from modelinfer_controller.kube.cache.store import Indexers, IndexFunc, Lister, Store, by_controller_uid

__all__ = [
    "DeletedFinalStateUnknown",
    "DiscoveredInformer",
    "HandlerRegistration",
    "IndexFunc",
    "Indexers",
    "Lister",
    "ReflectorCounters",
    "ResourceEventHandler",
    "ResourceNotServed",
    "ResourceSource",
    "SharedInformer",
    "SharedInformerFactory",
    "Store",
    "by_controller_uid",
    "is_resource_served",
    "last_state",
]

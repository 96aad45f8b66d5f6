"""The resources that the controller reads and writes, in addition to the built-in ones of `kube.resource`."""

from collections.abc import Mapping

from modelinfer_controller.api import modelinfer
from modelinfer_controller.api.core import PodGroup
from modelinfer_controller.api.status import ModelInfer
from modelinfer_controller.kube.resource import Resource
from modelinfer_controller.planning.revision import GangScheduler

MODEL_INFERS = Resource(modelinfer.GROUP, modelinfer.VERSION, modelinfer.PLURAL, modelinfer.KIND, ModelInfer)
POD_GROUPS: Mapping[GangScheduler, Resource[PodGroup]] = {
    GangScheduler.VOLCANO: Resource("scheduling.volcano.sh", "v1beta1", "podgroups", "PodGroup", PodGroup),
    GangScheduler.KUBERNETES: Resource("scheduling.k8s.io", "v1beta1", "podgroups", "PodGroup", PodGroup),
}

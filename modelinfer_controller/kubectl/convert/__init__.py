"""Manifests of other projects as ModelInfers. Pure: documents in, documents out.

source              a document whose fields are taken one by one; what nobody took is known at the end
templates           pod templates: what of them a ModelInfer has, patches, environment
leader_worker_set   ┐
model_serving       │
role_based_group    ├ one module for each kind: which field becomes which
stateful_set        ┘
foreign             keys of the old controller that are left, and other documents that name the old workload
conversion          the kind's converter, the check of the result, the other documents of a file
"""

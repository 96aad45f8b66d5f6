"""Generates manifests/crd/modelinfers.yaml from the API's types and from Kubernetes' own PodSpec."""

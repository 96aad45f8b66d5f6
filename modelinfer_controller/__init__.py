"""The ModelInfer controller: distributed LLM inference on Kubernetes."""

__version__ = "0.1.0"

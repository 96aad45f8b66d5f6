"""Tests of what GitOps tools make of a ModelInfer."""

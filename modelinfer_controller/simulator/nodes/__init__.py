"""Nodes and their kubelets: pods that start, fail, restart and end."""

"""Builds `kubectl-modelinfer` as one file, and the manifest that krew installs it by."""

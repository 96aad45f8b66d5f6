"""Metrics: what each is called, when it counts, and when its series go.

Everything is registered in a registry of its own, so that several controllers can live in one process.
"""

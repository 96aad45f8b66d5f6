"""Tests of `kubectl modelinfer convert`."""

"""Tests of the planner, on a toy world that carries out its plans."""

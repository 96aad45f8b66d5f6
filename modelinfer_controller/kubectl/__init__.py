"""`kubectl modelinfer`: what is wrong, why, and what happens next. Everything it says is asked of the planner.

One file for each verb, and the pieces they share: access (the cluster), snapshot (reading it), render (drawing).
"""

"""The controllers of the control plane: scheduling, garbage collection, lost nodes, namespaces that end."""

"""A Kubernetes API in one process, with nodes, controllers and faults, behind the same Transport as a real one."""

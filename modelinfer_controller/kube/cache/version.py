"""Comparing resource versions: of one resource they are numbers that grow (promised since Kubernetes 1.35)."""


def is_older(version: str, than: str) -> bool:
    """Whether the version is surely before the other; False where a server's versions are no numbers."""
    return version.isdigit() and than.isdigit() and int(version) < int(than)

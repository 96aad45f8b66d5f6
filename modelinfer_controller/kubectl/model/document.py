"""What -o json and -o yaml print: documents of a documented shape (docs/kubectl-modelinfer.md)."""

import msgspec

API_VERSION = "cli.modelinfer.volcano.sh/v1"


class Document(msgspec.Struct, frozen=True, rename="camel"):
    """Base of what is printed: camelCase, times as RFC 3339, absent is null."""

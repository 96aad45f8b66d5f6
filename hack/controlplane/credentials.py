"""Keys, tokens and kubeconfig of a control plane. kube-apiserver makes its own CA and serving certificate."""

from __future__ import annotations

import base64
import json
import secrets
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

ADMIN = "cluster-admin"
MASTERS = "system:masters"
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_P256_OID = bytes.fromhex("06082a8648ce3d030107")


def service_account_key() -> str:
    """A new EC private key (P-256) as PEM, which signs and checks service account tokens.

    RFC 5915 lets the public key be left out, since it follows from the private one; so writing such a key needs no
    library.
    """
    scalar = (1 + secrets.randbelow(_P256_ORDER - 1)).to_bytes(32, "big")
    version = bytes.fromhex("020101")
    body = version + b"\x04\x20" + scalar + b"\xa0" + bytes([len(_P256_OID)]) + _P256_OID
    text = base64.b64encode(b"\x30" + bytes([len(body)]) + body).decode()
    lines = "\n".join(textwrap.wrap(text, 64))
    return f"-----BEGIN EC PRIVATE KEY-----\n{lines}\n-----END EC PRIVATE KEY-----\n"


def token_file(token_by_user: dict[str, str], groups_by_user: Mapping[str, Sequence[str]] | None = None) -> str:
    """kube-apiserver's static token file: each user is a member of system:masters, but for those with groups named."""
    groups = groups_by_user or {}
    return "".join(
        f'{token},{user},{user},"{",".join(groups.get(user, (MASTERS,)))}"\n' for user, token in token_by_user.items()
    )


def kubeconfig(server: str, ca: Path, token: str, user: str = ADMIN) -> str:
    """A kubeconfig (JSON, which is YAML) of one cluster and one user, with the CA inside.

    `ca` is kube-apiserver's self-made serving certificate, followed by the CA that signed it.
    """
    authority = base64.b64encode(ca.read_bytes()).decode()
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "local", "cluster": {"server": server, "certificate-authority-data": authority}},
            ],
            "users": [{"name": user, "user": {"token": token}}],
            "contexts": [{"name": "local", "context": {"cluster": "local", "user": user}}],
            "current-context": "local",
        },
        indent=1,
    )

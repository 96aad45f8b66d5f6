"""The kubeconfig of one command: kubectl's files, merged as kubectl merges them, and its flags over them."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from modelinfer_controller.exits import Exit, ExitCode

DEFAULT_KUBECONFIG = "~/.kube/config"
NAME = "kubectl-modelinfer"  # of the context, the cluster and the user that flags make up
PATH_KEYS = ("certificate-authority", "client-certificate", "client-key", "tokenFile")

Entry = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ClusterFlags:
    """kubectl's connection flags as they were given; None, empty or False where they were not.

    request_timeout is in seconds. verbosity is that of -v: from 6 on each request is logged on stderr.
    """

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None
    cluster: str | None = None
    user: str | None = None
    server: str | None = None
    token: str | None = None
    username: str | None = None
    password: str | None = None
    certificate_authority: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None
    tls_server_name: str | None = None
    insecure_skip_tls_verify: bool = False
    as_user: str | None = None
    as_uid: str | None = None
    as_group: tuple[str, ...] = ()
    request_timeout: float | None = None
    verbosity: int = 0

    @property
    def overrides(self) -> bool:
        """Whether flags say anything of the cluster or the user that a kubeconfig does not."""
        return bool(self.cluster or self.user or self.server or self.cluster_entry or self.user_entry)

    @property
    def cluster_entry(self) -> Entry:
        return _given(
            {
                "server": self.server,
                "certificate-authority": self.certificate_authority,
                "tls-server-name": self.tls_server_name,
                "insecure-skip-tls-verify": self.insecure_skip_tls_verify,
            }
        )

    @property
    def user_entry(self) -> Entry:
        return _given(
            {
                "token": self.token,
                "username": self.username,
                "password": self.password,
                "client-certificate": self.client_certificate,
                "client-key": self.client_key,
            }
        )


@dataclass(frozen=True, slots=True)
class Kubeconfig:
    """The context that a command uses. Paths are absolute. cluster and user are None where the files name none."""

    namespace: str
    cluster: Entry | None
    user: Entry | None

    def document(self) -> dict[str, Any]:
        """A kubeconfig of this one context."""
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": NAME,
            "contexts": [{"name": NAME, "context": {"cluster": NAME, "user": NAME}}],
            "clusters": [{"name": NAME, "cluster": dict(self.cluster or {})}],
            "users": [{"name": NAME, "user": dict(self.user or {})}],
        }


def failure(message: str) -> Exit:
    """Every failure of these verbs has exit code 1, as kubectl's own: 2 is an answer of `plan`."""
    return Exit(ExitCode.FAILURE, message)


def kubeconfig_paths(flags: ClusterFlags, environ: Mapping[str, str]) -> tuple[Path, ...]:
    """The files that make up the kubeconfig, in kubectl's order; they need not exist."""
    text = flags.kubeconfig or environ.get("KUBECONFIG") or DEFAULT_KUBECONFIG
    return tuple(Path(path).expanduser() for path in text.split(os.pathsep) if path)


def read_kubeconfig(flags: ClusterFlags, environ: Mapping[str, str]) -> Kubeconfig:
    """Raises Exit where a file cannot be read, or lacks a cluster or user that a flag names."""
    files = list(_files(kubeconfig_paths(flags, environ)))
    name = flags.context or next((f["current-context"] for _, f in files if f.get("current-context")), None)
    context = _entry(files, "contexts", "context", name) or {}
    cluster = _chosen(files, "clusters", "cluster", flags.cluster, context)
    user = _chosen(files, "users", "user", flags.user, context)
    if flags.cluster_entry:
        cluster = _overridden(cluster or {}, flags.cluster_entry)
    if flags.user_entry or (flags.overrides and user is None):
        user = _overridden(user or {}, flags.user_entry)
    return Kubeconfig(str(context.get("namespace") or ""), cluster, user)


def names_in_kubeconfig(flags: ClusterFlags, environ: Mapping[str, str], plural: str) -> list[str]:
    """The names of its "contexts", "clusters" or "users"."""
    files = _files(kubeconfig_paths(flags, environ))
    return sorted({str(entry.get("name")) for _, file in files for entry in file.get(plural) or ()})


def _chosen(
    files: list[tuple[Path, Entry]], plural: str, singular: str, named: str | None, context: Entry
) -> Entry | None:
    found = _entry(files, plural, singular, named or context.get(singular))
    if named and found is None:
        raise failure(f"the kubeconfig has no {singular} {named!r}")
    return found


def _overridden(entry: Entry, given: Entry) -> Entry:
    """A certificate given by its path takes the place of one that the file holds as data.

    A token takes the place of any other way to log in.
    """
    kept = {key: value for key, value in entry.items() if key.removesuffix("-data") not in given}
    if given.keys() & {"token", "username"}:
        kept = {key: value for key, value in kept.items() if key in ("as", "as-uid", "as-groups")}
    if given.get("insecure-skip-tls-verify"):
        kept = {key: value for key, value in kept.items() if not key.startswith("certificate-authority")}
    return _absolute({**kept, **given}, Path.cwd())


def _entry(files: Iterable[tuple[Path, Entry]], plural: str, singular: str, name: Any) -> Entry | None:
    """As kubectl merges several files: the first that has an entry of that name wins."""
    for folder, file in files:
        for entry in file.get(plural) or ():
            if name is not None and entry.get("name") == name:
                return _absolute(entry.get(singular) or {}, folder)
    return None


def _absolute(entry: Entry, folder: Path) -> Entry:
    return {k: str(Path(folder, str(v))) if k in PATH_KEYS and v else v for k, v in entry.items()}


def _files(paths: Iterable[Path]) -> Iterator[tuple[Path, Entry]]:
    for path in paths:
        if not path.exists():
            continue
        try:
            loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
            content = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise failure(f"cannot read the kubeconfig {path}: {' '.join(str(error).split())}") from error
        if isinstance(content, dict):
            yield path.absolute().parent, content


def _given(entry: Entry) -> Entry:
    return {key: value for key, value in entry.items() if value}

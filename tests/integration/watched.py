"""What a test sees of the cluster: lists kept up to date by watches, with everything that they ever said."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

Object = dict[str, Any]
T = TypeVar("T")


class Access:
    """Where the API server of a kubeconfig is, and how to get in."""

    def __init__(self, kubeconfig: Path) -> None:
        config = json.loads(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._address = urlsplit(cluster["server"]).netloc
        self._tls = ssl.create_default_context(cadata=authority)
        self.headers = {"Authorization": f"Bearer {config['users'][0]['user']['token']}", "Accept": "application/json"}

    def connection(self, timeout: float | None) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(self._address, context=self._tls, timeout=timeout)


class Change:
    """One event of a watch. `object` is the object after it, for DELETED the last one.

    `is_listed`: found by a list after a watch had ended. Several may have happened in between, in another order.
    """

    def __init__(
        self, type_: Literal["ADDED", "MODIFIED", "DELETED"], object_: Object, *, is_listed: bool = False
    ) -> None:
        self.type = type_
        self.is_listed = is_listed
        self.object = object_
        self.name: str = object_["metadata"]["name"]


class Watched:
    """The objects of one kind in one namespace, by name, and the changes since the watch began, oldest first.

    `news` is notified at each change. A watch that ends is begun anew; what changed in between is told as one change.
    """

    def __init__(self, access: Access, path: str, news: threading.Condition) -> None:
        self._access = access
        self._path = path
        self._news = news
        self._connection: http.client.HTTPSConnection | None = None
        self._stopped = False
        self.by_name: dict[str, Object] = {}
        self.changes: list[Change] = []
        self._seen: dict[str, int] = {}  # the resourceVersion of the last change of each name, deletions included
        version = self._list()
        self._thread = threading.Thread(target=self._run, args=(version,), name=f"watch {path}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped = True
        connection = self._connection
        if connection is not None and connection.sock is not None:
            with contextlib.suppress(OSError):  # it has just ended by itself
                connection.sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(timeout=10)
        assert not self._thread.is_alive(), f"the watch of {self._path} does not end"

    def catch_up(self, timeout: float = 30) -> None:
        """Returns when everything that the server has done until now is in `by_name` and `changes`."""
        listed = self._get(timeout)
        items, until = listed["items"], int(listed["metadata"]["resourceVersion"])
        names = {item["metadata"]["name"] for item in items}

        def has_caught_up() -> bool:
            shown = all(self._seen.get(item["metadata"]["name"], 0) >= _version(item) for item in items)
            return shown and all(self._seen[name] > until for name in self.by_name.keys() - names)

        wait_for(self._news, has_caught_up, timeout, lambda: f"the watch of {self._path} lags behind")

    def _get(self, timeout: float = 30) -> Any:
        """The list. A server that goes over to a changed CRD refuses for a moment; then it is asked again."""
        deadline = time.monotonic() + timeout
        while True:
            connection = self._access.connection(timeout)
            try:
                connection.request("GET", self._path, headers=self._access.headers)
                answer = connection.getresponse()
                listed = json.loads(answer.read())
            finally:
                connection.close()
            if answer.status == http.client.OK:
                return listed
            if time.monotonic() > deadline:
                raise OSError(f"{self._path}: {listed.get('message')}")
            time.sleep(0.1)

    def _list(self) -> str:
        listed = self._get()
        items = {item["metadata"]["name"]: item for item in listed["items"]}
        with self._news:
            for name, item in items.items():
                known = self.by_name.get(name)
                if known is None or _version(known) != _version(item):
                    self._note("ADDED" if known is None else "MODIFIED", item, is_listed=True)
            for name in self.by_name.keys() - items.keys():
                self._note("DELETED", self.by_name[name], is_listed=True)
        return str(listed["metadata"]["resourceVersion"])

    def _run(self, version: str) -> None:
        while not self._stopped:
            try:
                self._watch(version)
            except (OSError, http.client.HTTPException, ValueError, AttributeError):
                # A cut stream; AttributeError and ValueError are how http.client takes `stop` in the middle of a read.
                if self._stopped:
                    return
            try:
                version = self._list()
            except (OSError, http.client.HTTPException):
                time.sleep(0.1)  # the server is busy with a new CRD, or gone: no test waits for this to pass

    def _watch(self, version: str) -> None:
        connection = self._connection = self._access.connection(timeout=None)
        try:
            path = f"{self._path}?watch=1&resourceVersion={version}"
            connection.request("GET", path, headers=self._access.headers)
            answer = connection.getresponse()
            while not self._stopped and (line := answer.readline()):
                event = json.loads(line)
                if event.get("type") not in ("ADDED", "MODIFIED", "DELETED"):
                    return  # an error, or the Status of a server that has just started
                with self._news:
                    self._note(event["type"], event["object"])
        finally:
            connection.close()

    def _note(
        self, type_: Literal["ADDED", "MODIFIED", "DELETED"], object_: Object, *, is_listed: bool = False
    ) -> None:
        change = Change(type_, object_, is_listed=is_listed)
        self.changes.append(change)
        self._seen[change.name] = _version(object_)
        if type_ == "DELETED":
            self.by_name.pop(change.name, None)
        else:
            self.by_name[change.name] = object_
        self._news.notify_all()


def _version(object_: Mapping[str, Any]) -> int:
    return int(object_["metadata"]["resourceVersion"])


def wait_for(news: threading.Condition, look: Callable[[], T], timeout: float, describe: Callable[[], str]) -> T:
    """What `look` returns as soon as that is true; it is called again at each change.

    Raises AssertionError with the description when the time is over.
    """
    deadline = time.monotonic() + timeout
    with news:
        while not (seen := look()):
            left = deadline - time.monotonic()
            if left <= 0 or not news.wait(left):
                if seen := look():
                    return seen
                raise AssertionError(describe())
        return seen

"""Watches: what each one sees of the changes, as the lines that go over the wire."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable

from modelinfer_controller.simulator.apiserver.kinds import CUSTOM_RESOURCE_DEFINITIONS, Kind, KindKey
from modelinfer_controller.simulator.apiserver.selectors import Selection
from modelinfer_controller.simulator.apiserver.status_errors import StatusError
from modelinfer_controller.simulator.apiserver.store import Change, ChangeType, Store, Stored
from modelinfer_controller.simulator.objects import encode, with_metadata

BOOKMARK_PERIOD = 60.0  # seconds
_TURN = 100  # lines after which a reader lets others run

Render = Callable[[Stored], bytes]


class Watch:
    """One open watch. Lines wait in it until they are read; nothing is dropped, however slow the reader."""

    def __init__(self, kind: Kind, selection: Selection, since: int, render: Render) -> None:
        """since: changes at or below this revision are not shown."""
        self.kind = kind
        self._selection = selection
        self._since = since
        self._render = render
        self._lines: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._has_ended = False

    def offer(self, change: Change) -> None:
        """Takes up a change of the kind, as far as the selection sees it."""
        if change.revision <= self._since:
            return
        before = change.previous is not None and self._selection.selects(change.previous.object)
        after = change.type is not ChangeType.DELETED and self._selection.selects(change.stored.object)
        match before, after:
            case True, True:
                self.push(ChangeType.MODIFIED, change.stored)
            case False, True:
                self.push(ChangeType.ADDED, change.stored)
            case True, False:
                self.push(ChangeType.DELETED, _last_seen(change))

    def push(self, type_: ChangeType, stored: Stored) -> None:
        self._push_line(type_, self._render(stored))

    def bookmark(self, revision: int, *, ends_initial_events: bool = False) -> None:
        metadata: dict[str, object] = {"resourceVersion": str(revision)}
        if ends_initial_events:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        obj = {"kind": self.kind.kind, "apiVersion": self.kind.api_version, "metadata": metadata}
        self._push_line("BOOKMARK", encode(obj))

    def fail(self, error: StatusError) -> None:
        """Sends the error as an ERROR event and ends."""
        self._push_line("ERROR", encode(error.status()))
        self.end()

    def end(self) -> None:
        """What is pending can still be read; then the stream closes."""
        self._has_ended = True
        self._wake.set()

    def _push_line(self, type_: str, raw: bytes) -> None:
        if not self._has_ended:
            self._lines.append(b'{"type":"%b","object":%b}' % (type_.encode(), raw))
            self._wake.set()

    async def lines(self) -> AsyncIterator[bytes]:
        count = 0
        while True:
            while self._lines:
                yield self._lines.popleft()
                count += 1
                if count % _TURN == 0:
                    await asyncio.sleep(0)
            if self._has_ended:
                return
            self._wake.clear()
            await self._wake.wait()


def _serves_anew(change: Change) -> bool:
    """Whether a definition is gone or another one: the server ends the watches of what it served before."""
    if change.previous is None:
        return False
    return change.type is ChangeType.DELETED or change.previous.object["spec"] != change.stored.object["spec"]


def _last_seen(change: Change) -> Stored:
    """The object as the watch knew it, at the revision of the change that took it out of sight."""
    if change.type is ChangeType.DELETED or change.previous is None:
        return change.stored
    obj = with_metadata(change.previous.object, resourceVersion=str(change.revision))
    return Stored(obj, change.revision)


class Watches:
    """All open watches, fed by the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._open: dict[KindKey, list[Watch]] = {}
        store.listen(self._publish)

    def _publish(self, change: Change) -> None:
        for watch in self._open.get(change.kind_key, ()):
            watch.offer(change)
        if change.kind_key == CUSTOM_RESOURCE_DEFINITIONS.key and _serves_anew(change):
            spec = change.stored.object["spec"]
            self.end_all((spec["group"], spec["names"]["plural"]))

    def open(self, watch: Watch, missed: Iterable[Change], timeout: float, bookmarks: bool) -> None:
        """Starts the watch with the changes that it missed; it ends by itself after `timeout` seconds."""
        for change in missed:
            watch.offer(change)
        self._open.setdefault(watch.kind.key, []).append(watch)
        loop = asyncio.get_running_loop()
        loop.call_later(timeout, self.close, watch)
        if bookmarks:
            loop.call_later(BOOKMARK_PERIOD, self._send_bookmark, watch)

    def close(self, watch: Watch) -> None:
        watch.end()
        watches = self._open.get(watch.kind.key, [])
        if watch in watches:
            watches.remove(watch)

    def end_all(self, kind_key: KindKey | None = None) -> None:
        """Ends every watch, or those of one kind, as a server that restarts does."""
        kinds = list(self._open) if kind_key is None else [kind_key]
        for key in kinds:
            for watch in self._open.pop(key, []):
                watch.end()

    def _send_bookmark(self, watch: Watch) -> None:
        if watch in self._open.get(watch.kind.key, ()):
            watch.bookmark(self._store.revision)
            asyncio.get_running_loop().call_later(BOOKMARK_PERIOD, self._send_bookmark, watch)

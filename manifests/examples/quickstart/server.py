"""A language model server for CPUs, to see a ModelInfer at work: standard library only, and far too small to be of use.

It imitates the shape of a disaggregated, tensor-parallel server, such as vLLM on several nodes:

  prefill  takes /v1/completions, reads the prompt into a hidden state (its "KV cache"), and hands that over to the
           decode instance of its own group, which answers with words;
  decode   is a rank in the entry pod and one in each worker, each with its columns of the weight matrix. For each word
           the entry sends the hidden state to all workers, and each returns the best of its columns (an all-gather).
           Workers find the entry at ENTRY_ADDRESS. When a rank is lost the others end too, as NCCL's do.

The weights count which word follows which below. Nothing is imitated of attention, batching, streaming or speed.
"""

import json
import os
import signal
import socket
import sys
import threading
import time
import urllib.request
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NoReturn

CORPUS = {
    "tiny-1": "a group serves one copy of the model . when a worker is lost the group starts again .",
    "tiny-2": "a group is one complete copy of the model . when a worker is lost its instance is recreated .",
}
HTTP_PORT, RANK_PORT = 8000, 8001
DECAY = 0.25  # what each new word leaves of those before it
LINGER = 5.0  # seconds of service after SIGTERM, while Services still learn that this pod goes

is_ending = threading.Event()


class Model:
    """One of `size` ranks' columns of the weight matrix. A state, a number for each word, times a column is a score."""

    def __init__(self, name: str, rank: int, size: int) -> None:
        words = CORPUS[name].split()
        self.vocabulary = sorted(set(words))
        self.columns = {column: [0.0] * len(self.vocabulary) for column in range(rank, len(self.vocabulary), size)}
        for distance in (1, 2, 3):
            for before, after in zip(words, words[distance:], strict=False):
                if self.vocabulary.index(after) in self.columns:
                    column = self.columns[self.vocabulary.index(after)]
                    column[self.vocabulary.index(before)] += 1 / distance

    def read(self, state: list[float], word: str) -> list[float]:
        return [DECAY * number + float(word == known) for number, known in zip(state, self.vocabulary, strict=True)]

    def best(self, state: list[float]) -> list[float]:
        """[score, word] of the best of this rank's columns."""
        return max([sum(map(float.__mul__, state, each)), word] for word, each in self.columns.items())


class Peer:
    """The connection with another rank. A process that loses one ends, since alone it can do nothing."""

    def __init__(self, connection: socket.socket) -> None:
        self._file = connection.makefile("rw")

    def send(self, value: object) -> None:
        with suppress(OSError):  # receive will tell
            print(json.dumps(value), file=self._file, flush=True)

    def receive(self) -> Any:
        try:
            return json.loads(self._file.readline())
        except (OSError, ValueError):
            print("a rank is lost", flush=True)
            os._exit(0 if is_ending.is_set() else 1)


class Decode:
    """The entry of a decode instance: gathers what all ranks say, and picks the next word."""

    def __init__(self, model: Model, size: int) -> None:
        self._model, self._size = model, size
        self._workers: list[Peer] = []
        self._lock = threading.Lock()  # the ranks go in lockstep

    def is_ready(self) -> bool:
        return len(self._workers) == self._size - 1

    def lead(self) -> None:
        """Wait for every rank, then take a step each half second, so that a rank that is lost is noticed at once."""
        with socket.create_server(("", RANK_PORT)) as server:
            while not self.is_ready():
                connection, address = server.accept()
                self._workers.append(Peer(connection))
                print(f"rank {self._workers[-1].receive()} has joined from {address[0]}", flush=True)
        while True:
            self.answer({"kv": [0.0] * len(self._model.vocabulary), "max_tokens": 1})
            time.sleep(0.5)

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        state, words = [float(number) for number in request["kv"]], list[str]()
        with self._lock:
            while len(words) < request["max_tokens"] and words[-1:] != ["."]:
                for worker in self._workers:
                    worker.send(state)
                gathered = [self._model.best(state), *(worker.receive() for worker in self._workers)]
                words.append(self._model.vocabulary[int(max(gathered)[1])])
                state = self._model.read(state, words[-1])
        return {"words": words, "by": socket.gethostname(), "ranks": self._size}


class Prefill:
    """Reads prompts, has the decode instance of its group answer them, and says so in the shape of OpenAI's API."""

    def __init__(self, name: str, model: Model) -> None:
        self._name, self._model = name, model
        group, namespace = os.environ["GROUP_NAME"], os.environ["ENTRY_ADDRESS"].partition(".")[2]
        self._decode = f"http://{group}-decode-0-0.{namespace}:{HTTP_PORT}"

    def is_ready(self) -> bool:
        with urllib.request.urlopen(self._decode, timeout=2) as answer:
            return bool(answer.status == 200)

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        prompt, state = request["prompt"].lower().replace(".", " .").split(), [0.0] * len(self._model.vocabulary)
        for word in prompt:
            state = self._model.read(state, word)
        handed = json.dumps({"kv": state, "max_tokens": int(request.get("max_tokens", 16))}).encode()
        with urllib.request.urlopen(self._decode, handed, timeout=10) as answer:
            decoded = json.load(answer)
        words, reason = decoded["words"], "stop" if decoded["words"][-1:] == ["."] else "length"
        head = {"id": f"cmpl-{time.time_ns():x}", "object": "text_completion", "created": int(time.time())}
        choice = {"index": 0, "text": " ".join(words).replace(" .", "."), "finish_reason": reason}
        usage = {"prompt_tokens": len(prompt), "completion_tokens": len(words)}
        served_by = f"{socket.gethostname()}, {decoded['by']} with {decoded['ranks']} ranks"
        return {**head, "model": self._name, "system_fingerprint": served_by, "choices": [choice], "usage": usage}


def work(model: Model, rank: int) -> NoReturn:
    """A worker joins the entry, and multiplies its columns for each step until the entry is lost."""
    while True:
        try:  # the name may not resolve yet, or still to a predecessor of the entry: each try asks again
            connection = socket.create_connection((os.environ["ENTRY_ADDRESS"], RANK_PORT), timeout=2)
            break
        except OSError:
            time.sleep(0.2)
    connection.settimeout(None)
    entry = Peer(connection)
    entry.send(rank)
    while True:
        entry.send(model.best(entry.receive()))


class Handler(BaseHTTPRequestHandler):
    """GET tells whether the instance is ready, POST has it answer."""

    instance: Prefill | Decode

    def do_GET(self) -> None:
        is_ready = False
        with suppress(OSError):
            is_ready = self.instance.is_ready() and not is_ending.is_set()
        self._reply(200 if is_ready else 503, {"is_ready": is_ready})

    def do_POST(self) -> None:
        try:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._reply(200, self.instance.answer(request))
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            self._reply(503 if isinstance(error, OSError) else 400, {"error": {"message": repr(error)}})

    def _reply(self, status: int, body: dict[str, Any]) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body, indent=2).encode() + b"\n")

    def log_message(self, format: str, *arguments: object) -> None:
        pass  # probes are many


def end(number: int, frame: object) -> None:
    """Serve for a while longer: requests come until every Service has heard that this pod goes."""
    is_ending.set()
    threading.Timer(LINGER, os._exit, [0]).start()


def main() -> None:
    signal.signal(signal.SIGTERM, end)
    name, rank, size = os.environ["MODEL"], int(os.environ["WORKER_INDEX"]), int(os.environ["GROUP_SIZE"])
    model = Model(name, rank, size)
    if rank > 0:
        work(model, rank)
    Handler.instance = Prefill(name, model) if sys.argv[1] == "prefill" else Decode(model, size)
    if isinstance(Handler.instance, Decode):
        threading.Thread(target=Handler.instance.lead, daemon=True).start()
    ThreadingHTTPServer(("", HTTP_PORT), Handler).serve_forever()


if __name__ == "__main__":
    main()

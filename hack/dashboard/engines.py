"""What the engines and GPUs of the story's pods would show: made up, in the published names of the metrics.

source of the names: dashboard.process_rows. The pods are the simulator's: they come, get ready and go as the controller
has it. Their numbers follow a load that the ready entry pods of a ModelInfer share, so that a group that is down makes
the others busier.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

from modelinfer_controller.api import well_known
from modelinfer_controller.api.core import Pod

SGLANG = "llama"  # the ModelInfer that runs SGLang; the others run vLLM
BROKEN, BREAKS = "qwen-1-decode-0-1", (44 * 60, 46 * 60)  # the pod whose GPU is lost, and when, in seconds
FALLEN_OFF_THE_BUS = 79  # NVIDIA's XID
SLOTS = 64  # requests that a server runs at once
LOAD = 150  # requests at a ModelInfer, on average
UNEVEN = 0.06  # what a server has more than the one before it
TOKENS_A_SECOND = 30.0  # of one request
BUCKETS = (0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.2, 2.5, 5.0, 10.0)
Line = tuple[str, dict[str, str], float]


class Engines:
    """Counters go on from scrape to scrape, and end with their pod."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._totals: defaultdict[tuple[str, ...], float] = defaultdict(float)

    def scrape(self, pods: Sequence[Pod], elapsed: float) -> Iterator[Line]:
        """elapsed: seconds since the beginning of the story."""
        ready = [pod for pod in pods if pod.is_ready]
        servers: defaultdict[str, list[Pod]] = defaultdict(list)
        for pod in ready:
            if pod.metadata.labels.get(well_known.ENTRY):
                servers[pod.metadata.labels[well_known.NAME]].append(pod)
        for name, entries in servers.items():
            load = LOAD * (1 + 0.5 * math.sin(elapsed / 1800 + len(name))) / len(entries)
            for index, pod in enumerate(sorted(entries, key=lambda pod: pod.metadata.name)):
                uneven = 1 + UNEVEN * (index - (len(entries) - 1) / 2)
                yield from self._server(pod, "sglang" if name == SGLANG else "vllm", load * uneven)
        for pod in ready:
            yield from _gpu(pod, elapsed)

    def _server(self, pod: Pod, engine: str, load: float) -> Iterator[Line]:
        running = min(SLOTS, load)
        waiting = load - running
        gauges = {
            "num_requests_running": running,
            "num_requests_waiting": waiting,
            "kv_cache_usage_perc": running / SLOTS * 0.9,
        }
        if engine == "sglang":
            gauges = dict(zip(("num_running_reqs", "num_queue_reqs", "token_usage"), gauges.values(), strict=True))
        labels = _labels(pod)
        for name, value in gauges.items():
            yield f"{engine}:{name}", labels, round(value, 3)
        tokens = running * TOKENS_A_SECOND * self._interval
        yield f"{engine}:generation_tokens_total", labels, self._count(pod, "tokens", tokens)
        first, between = 0.12 + 0.05 * waiting, 1 / TOKENS_A_SECOND * (0.6 + running / SLOTS)
        yield from self._histogram(pod, f"{engine}:time_to_first_token_seconds", first, tokens / 300)
        yield from self._histogram(pod, f"{engine}:inter_token_latency_seconds", between, tokens)

    def _histogram(self, pod: Pod, name: str, typical: float, count: float) -> Iterator[Line]:
        """Times that are spread evenly between half and twice the typical one, on a scale of ratios."""
        for bound in (*BUCKETS, math.inf):
            share = min(1.0, max(0.0, (math.log2(bound / typical) + 1) / 2)) if bound < math.inf else 1.0
            labels = {**_labels(pod), "le": "+Inf" if bound == math.inf else str(bound)}
            yield f"{name}_bucket", labels, self._count(pod, f"{name} {bound}", count * share)

    def _count(self, pod: Pod, what: str, more: float) -> float:
        key = (pod.metadata.uid, what)
        self._totals[key] += more
        return round(self._totals[key], 3)


def _gpu(pod: Pod, elapsed: float) -> Iterator[Line]:
    labels = {**_labels(pod), "gpu": "0"}
    is_lost = pod.metadata.name == BROKEN and BREAKS[0] <= elapsed < BREAKS[1]
    own = sum(pod.metadata.name.encode()) % 7  # so that the lines do not lie on each other
    busy = 0.0 if is_lost else 70 + 4 * own + 3 * math.sin(elapsed / 600 + own)
    yield "DCGM_FI_DEV_GPU_UTIL", labels, round(busy, 1)
    yield "DCGM_FI_DEV_FB_USED", labels, 70_000.0
    yield "DCGM_FI_DEV_FB_FREE", labels, 11_000.0
    yield "DCGM_FI_DEV_XID_ERRORS", labels, float(FALLEN_OFF_THE_BUS if is_lost else 0)


def _labels(pod: Pod) -> dict[str, str]:
    return {"namespace": pod.metadata.namespace, "pod": pod.metadata.name}

"""The rows about the controller's own work, and about the engines and GPUs that its pods use."""

from __future__ import annotations

from dashboard.panels import JOB, PODS_OF, Panel, Query, Row, one

CONTROLLER = Row(
    "Controller",
    (
        Panel(
            "Reconciles a second, by result",
            one(
                'sum by (result) (rate(controller_runtime_reconcile_total{controller="modelinfer"}[$__rate_interval]))',
                "{{result}}",
            ),
            runbook="ModelInferControllerReconcileErrors",
        ),
        Panel(
            "Length of a reconcile",
            tuple(
                Query(
                    f"histogram_quantile({share}, sum by (le) (rate(controller_runtime_reconcile_time_seconds_bucket"
                    '{controller="modelinfer"}[$__rate_interval])))',
                    legend,
                )
                for share, legend in ((0.5, "50 %"), (0.99, "99 %"))
            ),
            unit="s",
            runbook="ModelInferControllerStuck",
        ),
        Panel(
            "Work queue",
            (
                Query('sum(workqueue_depth{name="modelinfer"})', "depth"),
                Query('sum(rate(workqueue_retries_total{name="modelinfer"}[$__rate_interval]))', "retries a second"),
            ),
            runbook="ModelInferControllerBacklog",
        ),
        Panel(
            "Wait in the work queue (99 %)",
            one(
                "histogram_quantile(0.99, sum by (le) (rate(workqueue_queue_duration_seconds_bucket"
                '{name="modelinfer"}[$__rate_interval])))',
                "99 %",
            ),
            unit="s",
            runbook="ModelInferControllerBacklog",
        ),
        Panel(
            "Actions a second, by outcome",
            one(
                "sum by (action, outcome) (rate(modelinfer_actions_total[$__rate_interval]))",
                "{{action}} {{outcome}}",
            ),
            runbook="ModelInferControllerActionsRefused",
        ),
        Panel(
            "Requests to the API server, by code",
            one(
                f"sum by (method, code) (rate(rest_client_requests_total{{{JOB}}}[$__rate_interval]))",
                "{{method}} {{code}}",
            ),
            runbook="ModelInferControllerApiErrors",
        ),
        Panel(
            "Staleness of caches",
            one("max by (resource) (max_over_time(modelinfer_informer_staleness_seconds[5m]))", "{{resource}}"),
            unit="s",
            runbook="ModelInferControllerCacheStale",
        ),
        Panel(
            "Leader, CPU and memory",
            (
                Query(
                    'max by (instance) (leader_election_master_status{name="modelinfer-controller"})',
                    "leads {{instance}}",
                ),
                Query(
                    f"sum by (instance) (rate(process_cpu_seconds_total{{{JOB}}}[$__rate_interval]))",
                    "CPU {{instance}}",
                ),
                Query(f"sum by (instance) (process_resident_memory_bytes{{{JOB}}}) / 2^30", "GiB {{instance}}"),
            ),
            runbook="ModelInferControllerWithoutLeader",
        ),
    ),
)


def engines(vllm: str, sglang: str, *, by: str = "sum by (pod)") -> tuple[Query, ...]:
    """The same of both engines. A metric that nobody has draws nothing."""
    return (
        Query(f"{by} ({vllm}{{{PODS_OF}}})", "{{pod}} (vLLM)"),
        Query(f"{by} ({sglang}{{{PODS_OF}}})", "{{pod}} (SGLang)"),
    )


def engine_quantile(name: str) -> tuple[Query, ...]:
    return tuple(
        Query(
            f"histogram_quantile(0.95, sum by (le, pod) (rate({engine}:{name}_bucket{{{PODS_OF}}}[$__rate_interval])))",
            f"{{{{pod}}}} ({shown})",
        )
        for engine, shown in (("vllm", "vLLM"), ("sglang", "SGLang"))
    )


# Names. source: vLLM, docs/usage/metrics (v1); SGLang, references/production_metrics; DCGM exporter, default counters.
ENGINES = Row(
    "Engines and GPUs",
    (
        Panel("Requests that run", engines("vllm:num_requests_running", "sglang:num_running_reqs"), width=8),
        Panel("Requests that wait", engines("vllm:num_requests_waiting", "sglang:num_queue_reqs"), width=8),
        Panel(
            "KV cache in use",
            engines("vllm:kv_cache_usage_perc", "sglang:token_usage", by="max by (pod)"),
            unit="percentunit",
            width=8,
        ),
        Panel("Time to the first token (95 %)", engine_quantile("time_to_first_token_seconds"), unit="s", width=8),
        Panel("Time between tokens (95 %)", engine_quantile("inter_token_latency_seconds"), unit="s", width=8),
        Panel(
            "Generated tokens a second",
            tuple(
                Query(
                    f"sum by (pod) (rate({engine}:generation_tokens_total{{{PODS_OF}}}[$__rate_interval]))",
                    f"{{{{pod}}}} ({shown})",
                )
                for engine, shown in (("vllm", "vLLM"), ("sglang", "SGLang"))
            ),
            width=8,
        ),
        Panel(
            "GPU utilisation",
            one(f"avg by (pod) (DCGM_FI_DEV_GPU_UTIL{{{PODS_OF}}})", "{{pod}}"),
            unit="percent",
            width=8,
        ),
        Panel(
            "GPU memory in use",
            one(
                f"sum by (pod) (DCGM_FI_DEV_FB_USED{{{PODS_OF}}}) / "
                f"(sum by (pod) (DCGM_FI_DEV_FB_USED{{{PODS_OF}}}) + sum by (pod) (DCGM_FI_DEV_FB_FREE{{{PODS_OF}}}))",
                "{{pod}}",
            ),
            unit="percentunit",
            width=8,
        ),
        Panel(
            "Last XID error of a GPU",
            one(f"max by (pod, gpu) (DCGM_FI_DEV_XID_ERRORS{{{PODS_OF}}})", "{{pod}} GPU {{gpu}}"),
            width=8,
            description="0 is none. NVIDIA's list of XIDs says which mean a broken GPU.",
        ),
    ),
)

PROCESS_ROWS = (CONTROLLER, ENGINES)

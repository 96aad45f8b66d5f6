"""The rows about ModelInfers."""

from __future__ import annotations

from dashboard.panels import BY, OF, Kind, Panel, Query, Row, one, quantiles, stat

FLEET = Row(
    "Fleet",
    (
        stat("ModelInfers", f"count(max by (namespace, name) (modelinfer_info{{{OF}}})) or vector(0)"),
        stat("Groups desired", f"sum(modelinfer_groups_desired{{{OF}}})"),
        stat("Groups available", f'sum(modelinfer_groups{{state="available", {OF}}})', runbook="ModelInferDown"),
        stat(
            "Groups not available",
            f"sum(modelinfer_groups_unavailable{{{OF}}}) or vector(0)",
            runbook="ModelInferGroupsUnavailable",
        ),
        stat(
            "Updates under way",
            f"count(modelinfer_rollout_start_timestamp_seconds{{{OF}}} > 0) or vector(0)",
            runbook="ModelInferRolloutStuck",
        ),
        stat(
            "Updates that failed",
            f"sum(modelinfer_rollout_failed{{{OF}}}) or vector(0)",
            runbook="ModelInferRolloutFailed",
        ),
        Panel(
            "Groups that are not available, by reason",
            one(f"sum by (namespace, name, reason) (modelinfer_groups_unavailable{{{OF}}})"),
            Kind.TABLE,
            runbook="ModelInferGroupsUnavailable",
            description="The reason is that of the condition Available. `kubectl modelinfer explain` says more.",
        ),
        Panel(
            "Alerts",
            one('ALERTS{alertname=~"ModelInfer.*", alertstate="firing"}'),
            Kind.TABLE,
            runbook="Alerts, and what to do",
        ),
    ),
)

GROUPS = Row(
    "Groups",
    (
        Panel("Groups by state", one(f"sum by (state) (modelinfer_groups{{{OF}}})", "{{state}}"), stacked=True),
        Panel(
            "Groups not available over time, by reason",
            one(f"sum by (reason) (modelinfer_groups_unavailable{{{OF}}})", "{{reason}}"),
            stacked=True,
            runbook="ModelInferGroupsUnavailable",
        ),
        Panel(
            "Availability of groups over an hour",
            one(
                f"{BY} (increase(modelinfer_groups_available_seconds_total{{{OF}}}[1h])) / "
                f"({BY} (increase(modelinfer_groups_available_seconds_total{{{OF}}}[1h])) + "
                f"({BY} (increase(modelinfer_groups_unavailable_seconds_total{{{OF}}}[1h])) or "
                f"0 * {BY} (modelinfer_groups_desired{{{OF}}})))",
                "{{namespace}}/{{name}}",
            ),
            unit="percentunit",
            description="Group-seconds that groups were available, of those that they were to be.",
        ),
        Panel(
            "Lost group-seconds in an hour, by reason",
            one(f"sum by (reason) (increase(modelinfer_groups_unavailable_seconds_total{{{OF}}}[1h]))", "{{reason}}"),
            unit="s",
            stacked=True,
            runbook="ModelInferCrashLoop",
        ),
        Panel(
            "Recreations in an hour, by cause",
            one(
                f"sum by (namespace, name, cause) (increase(modelinfer_rebuilds_total{{{OF}}}[1h]))",
                "{{namespace}}/{{name}} {{cause}}",
            ),
            runbook="ModelInferRebuildLoop",
        ),
        Panel(
            "Groups that wait for nodes",
            one(f'{BY} (modelinfer_groups{{state="pending", {OF}}})', "{{namespace}}/{{name}}"),
            runbook="ModelInferPending",
        ),
    ),
)

UPDATES = Row(
    "Updates",
    (
        Panel(
            "Progress",
            one(f"max by (namespace, name) (modelinfer_rollout_progress_ratio{{{OF}}})", "{{namespace}}/{{name}}"),
            unit="percentunit",
            runbook="ModelInferRolloutStuck",
        ),
        Panel(
            "Time since the update began",
            one(
                f"time() - max by (namespace, name) (modelinfer_rollout_start_timestamp_seconds{{{OF}}})",
                "{{namespace}}/{{name}}",
            ),
            unit="s",
            runbook="ModelInferRolloutStuck",
        ),
        Panel(
            "Held: partition, and paused",
            (
                Query(f"max by (namespace, name) (modelinfer_partition{{{OF}}})", "{{namespace}}/{{name}} partition"),
                Query(f"max by (namespace, name) (modelinfer_paused{{{OF}}})", "{{namespace}}/{{name}} paused"),
            ),
        ),
        Panel(
            "Updates in a day, by outcome",
            one(f"sum by (outcome) (increase(modelinfer_rollouts_total{{{OF}}}[1d]))", "{{outcome}}"),
            runbook="ModelInferRolloutFailed",
        ),
        Panel(
            "How long the last update took",
            one(
                f"max by (namespace, name) (modelinfer_rollout_last_duration_seconds{{{OF}}})",
                "{{namespace}}/{{name}}",
            ),
            unit="s",
        ),
        Panel("Length of updates", quantiles("modelinfer_rollout_duration_seconds", 0.5, 0.95), unit="s"),
    ),
)

STARTS = Row(
    "Starts (metrics-histograms)",
    (
        Panel(
            "From creation to available, groups",
            quantiles("modelinfer_group_startup_seconds", 0.5, 0.95),
            unit="s",
        ),
        Panel(
            "From creation to ready, role instances",
            quantiles("modelinfer_role_startup_seconds", 0.5, 0.95),
            unit="s",
        ),
        Panel(
            "Start of a pod by phase (mean)",
            one(
                "sum by (phase) (increase(modelinfer_pod_startup_seconds_sum[1h])) / "
                "sum by (phase) (increase(modelinfer_pod_startup_seconds_count[1h]))",
                "{{phase}}",
            ),
            unit="s",
            stacked=True,
        ),
        Panel("Wait for the gang", quantiles("modelinfer_gang_wait_seconds", 0.5, 0.95), unit="s"),
    ),
)

MODEL_INFER_ROWS = (FLEET, GROUPS, UPDATES, STARTS)

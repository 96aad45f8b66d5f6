"""A real Prometheus scrapes the controller; the alerts and the dashboard ask it for what there is."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from controller_process import wait_until_served
from controlplane import ControlPlane, Settings
from controlplane.processes import free_ports, spawn
from models import model, role
from prometheus_binaries import Prometheus, PrometheusUnavailable, find_prometheus
from running_command import RunningCommand
from user import User

MANIFESTS = Path(__file__).parents[2] / "manifests"
ALERTS = MANIFESTS / "components" / "alerts" / "alerts.yaml"
DASHBOARD = MANIFESTS / "components" / "dashboard" / "modelinfer.json"
ALERT_TESTS = Path(__file__).with_name("alert_tests.yaml")
METRIC = re.compile(r"\b(?:modelinfer|workqueue|rest_client|controller_runtime|leader_election|process)_[a-z_]+\b")
SUFFIX = re.compile(r"_(?:bucket|sum|count|total)$")


@pytest.fixture(scope="module")
def programs() -> Prometheus:
    try:
        return find_prometheus()
    except PrometheusUnavailable as unavailable:
        if os.environ.get("CI"):
            raise  # CI runs where it can be installed
        pytest.skip(str(unavailable))


def rules() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(ALERTS.read_text())["spec"]
    return content


def alerts() -> list[dict[str, Any]]:
    return [rule for group in rules()["groups"] for rule in group["rules"]]


def dashboard_queries() -> dict[str, str]:
    """The queries of the panels, for everything that there is, by title and letter."""
    fill = {"$namespace": ".*", "$name": ".*", "$__rate_interval": "30s"}
    queries = {}
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            query = target["expr"]
            for variable, value in fill.items():
                query = query.replace(variable, value)
            assert "$" not in query
            queries[f"{panel['title']} {target['refId']}"] = query
    return queries


@pytest.fixture(scope="module")
def rules_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The PrometheusRule as Prometheus itself reads it."""
    file = tmp_path_factory.mktemp("rules") / "rules.yaml"
    file.write_text(yaml.safe_dump(rules()))
    return file


class Scraper:
    """Prometheus, scraping one controller each second."""

    def __init__(self, programs: Prometheus, folder: Path, target: int, rules_file: Path) -> None:
        self.port = free_ports(1)[0]
        configuration = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(rules_file)],
            "scrape_configs": [
                {
                    "job_name": "modelinfer-controller",
                    "honor_labels": True,
                    "static_configs": [{"targets": [f"127.0.0.1:{target}"]}],
                }
            ],
        }
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(configuration))
        options = [
            f"--config.file={folder}/prometheus.yaml",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]
        self.process = spawn([str(programs.server), *options], folder / "prometheus.log")

    def query(self, query: str) -> list[dict[str, Any]]:
        """The instant vector. Raises AssertionError with what Prometheus says against the query."""
        answer = self._get("/api/v1/query", query=query)
        assert answer["status"] == "success", f"{query}: {answer}"
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def value(self, query: str) -> float | None:
        found = self.query(query)
        return float(found[0]["value"][1]) if found else None

    def wait_for(self, query: str, timeout: float = 30.0) -> None:
        """Until the query finds something."""
        deadline = time.monotonic() + timeout
        while not self._finds(query):
            assert time.monotonic() < deadline, f"not within {timeout:g} s: {query}"
            time.sleep(0.1)

    def alerting_rules(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._get("/api/v1/rules")["data"]["groups"]
        return [rule for group in found for rule in group["rules"]]

    def _finds(self, query: str) -> bool:
        try:
            return bool(self.query(query))
        except OSError:
            return False  # it is not up yet

    def _get(self, path: str, **parameters: str) -> Any:
        url = f"http://127.0.0.1:{self.port}{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code == 503:
                raise  # it listens already, and still reads its data
            return json.load(error)


@pytest.fixture(scope="module")
def control_plane_with_crd() -> Iterator[ControlPlane]:
    with ControlPlane.start(Settings(nodes=3, volcano=False)) as control_plane:
        control_plane.kubectl("apply", "-f", str(MANIFESTS / "crd"))
        wait_until_served(control_plane)
        control_plane.kubectl("apply", "-k", str(MANIFESTS / "rbac"))
        yield control_plane


@pytest.fixture(scope="module")
def controller_command(control_plane_with_crd: ControlPlane) -> Iterator[RunningCommand]:
    running = RunningCommand(
        control_plane_with_crd, "--leader-elect", "--leader-elect-namespace=modelinfer-system", "--workers=2"
    )
    yield running
    running.end()


@pytest.fixture(scope="module")
def prometheus(
    programs: Prometheus,
    controller_command: RunningCommand,
    rules_file: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Scraper]:
    scraper = Scraper(programs, tmp_path_factory.mktemp("prometheus"), controller_command.port, rules_file)
    yield scraper
    scraper.process.kill()
    scraper.process.wait()


@pytest.fixture(scope="module")
def somebody(control_plane_with_crd: ControlPlane, prometheus: Scraper) -> Iterator[User]:
    """A user with a ModelInfer, `mi`, of which a pod was deleted and rebuilt; Prometheus saw it all."""
    prometheus.wait_for("up == 1")
    control_plane_with_crd.create_namespace("metrics")
    user = User(control_plane_with_crd, "metrics")
    user.apply(model("mi", role(workers=1), replicas=2))
    user.wait_settled("mi")
    before = user.uids
    user.delete_pods("mi-0-decode-0-1")
    user.wait_rebuilt(before, {"mi-0-decode-0-0", "mi-0-decode-0-1"}, "mi")
    prometheus.wait_for('modelinfer_rebuilds_total{name="mi", cause="deleted"} == 1')
    prometheus.wait_for("rate(modelinfer_actions_total[30s]) >= 0")
    yield user
    user.close()


def test_prometheus_sees_what_a_user_sees(prometheus: Scraper, somebody: User) -> None:
    prometheus.wait_for('modelinfer_groups{namespace="metrics", name="mi", state="available"} == 2')
    value = prometheus.value
    assert value('leader_election_master_status{name="modelinfer-controller"}') == 1
    assert value('modelinfer_informer_objects{resource="pods"}') == 4
    assert value('modelinfer_rollout_progress_ratio{name="mi"}') == 1
    assert (
        value('modelinfer_rebuilds_total{namespace="metrics", name="mi", policy="RoleRecreate", cause="deleted"}') == 1
    )
    assert value("modelinfer_group_startup_seconds_count") == 3
    assert value('modelinfer_rebuilds_total{name="mi", cause="failed"}') == 0
    assert (value('modelinfer_groups_available_seconds_total{name="mi"}') or 0) > 0
    assert value('modelinfer_info{name="mi", recovery_policy="RoleRecreate"}') == 1
    assert value('modelinfer_actions_total{action="CreatePod", outcome="success"}') == 6
    assert value('modelinfer_actions_total{action="DeletePod", outcome="success"}') == 1
    assert value('controller_runtime_max_concurrent_reconciles{controller="modelinfer"}') == 2
    assert (value("process_resident_memory_bytes") or 0) > 1e7


def test_the_text_is_what_promtool_wants(programs: Prometheus, controller_command: RunningCommand) -> None:
    status, text = controller_command.get("/metrics")
    assert status == 200
    checked = subprocess.run(
        [programs.promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    # Names that client-go gave, and that its users' alerts know, may break the rules; ours may not.
    complaints = [line for line in (checked.stderr + checked.stdout).splitlines() if line.startswith("modelinfer")]
    assert complaints == []


def test_the_alerts_are_well_formed(programs: Prometheus, rules_file: Path) -> None:
    checked = subprocess.run(
        [programs.promtool, "check", "rules", str(rules_file)], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr + checked.stdout


def test_the_alerts_fire_when_they_should_and_not_before(programs: Prometheus, rules_file: Path) -> None:
    cases = yaml.safe_load(ALERT_TESTS.read_text())
    file = rules_file.with_name("tests.yaml")
    file.write_text(yaml.safe_dump({**cases, "rule_files": [str(rules_file)]}))
    tested = subprocess.run(
        [programs.promtool, "test", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert tested.returncode == 0, tested.stderr + tested.stdout


def test_every_alert_is_tested_to_fire() -> None:
    cases = yaml.safe_load(ALERT_TESTS.read_text())["tests"]
    fired = {one["alertname"] for case in cases for one in case["alert_rule_test"] if one["exp_alerts"]}
    assert {alert["alert"] for alert in alerts()} - fired == set()


def test_every_alert_is_evaluated_and_none_fires_on_a_healthy_cluster(prometheus: Scraper, somebody: User) -> None:
    prometheus.wait_for("up == 1")
    found = {rule["name"]: rule for rule in prometheus.alerting_rules()}
    assert found.keys() == {alert["alert"] for alert in alerts()}
    deadline = time.monotonic() + 10
    while any(rule["health"] == "unknown" for rule in prometheus.alerting_rules()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    problems = {rule["name"]: rule.get("lastError") for rule in prometheus.alerting_rules() if rule["health"] != "ok"}
    assert problems == {}
    assert [rule["name"] for rule in prometheus.alerting_rules() if rule["state"] == "firing"] == []


def test_alerts_and_dashboard_ask_for_metrics_that_there_are(
    controller_command: RunningCommand, somebody: User
) -> None:
    text = controller_command.get("/metrics")[1]
    served = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    queries = [*dashboard_queries().values(), *(alert["expr"] for alert in alerts())]
    asked = {name for query in queries for name in METRIC.findall(_without_strings(query))}
    assert {name for name in asked if not {name, SUFFIX.sub("", name)} & served} == set()


def _without_strings(query: str) -> str:
    return re.sub(r'"[^"]*"', '""', query)


def test_prometheus_understands_the_dashboard(prometheus: Scraper, somebody: User) -> None:
    """That each panel shows something is tested where something of each happens: test_grafana_data.py."""
    for query in dashboard_queries().values():
        prometheus.query(query)
    assert prometheus.query(dashboard_queries()["Groups available A"])


def test_every_alert_says_what_to_do() -> None:
    operate = (MANIFESTS.parent / "docs" / "operate.md").read_text()
    headings = {line.removeprefix("### ").strip() for line in operate.splitlines() if line.startswith("### ")}
    assert {alert["alert"] for alert in alerts()} <= headings
    assert all(alert["annotations"]["runbook"].startswith("docs/operate.md#") for alert in alerts())


def test_the_series_go_with_the_model_infer(prometheus: Scraper, somebody: User) -> None:
    somebody.kubectl("delete", "modelinfer", "mi")
    prometheus.wait_for('absent(modelinfer_groups{name="mi"})')
    assert prometheus.query('{namespace="metrics"}') == []

"""One type of settings for flags, environment and file."""

from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from modelinfer_controller.api.duration import format_duration, parse_duration
from modelinfer_controller.app.settings import KEYS, Settings, SettingsError, load_settings, variable


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("workers: 1\nmax-in-flight: 1\nlog-level: debug\nnamespace: [a, b]\n")
    environ = {variable("workers"): "2", variable("max-in-flight"): "2"}
    settings = load_settings({"workers": "3"}, environ, str(file))
    assert (settings.workers, settings.max_in_flight, settings.log_level) == (3, 2, "debug")
    assert settings.namespace == ("a", "b")


def test_the_environment_names_the_file_and_lists_with_commas(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("leader-elect: true\nmetrics-bind-address: ':8080'\nhealth-probe-bind-address: 0\n")
    environ = {"MODELINFER_CONTROLLER_CONFIG": str(file), "MODELINFER_CONTROLLER_NAMESPACE": "a, b"}
    settings = load_settings({}, environ, None)
    assert settings.leader_elect
    assert settings.namespace == ("a", "b")
    assert (settings.metrics_bind_address, settings.health_probe_bind_address) == (":8080", "0")


def test_every_setting_can_be_given_in_the_environment() -> None:
    shown = Settings().model_dump(mode="json", by_alias=True)
    given = {key: ",".join(value) if isinstance(value, list) else value for key, value in shown.items()}
    environ = {variable(key): str(value) for key, value in given.items() if value not in (None, "")}
    assert load_settings({}, environ, None) == Settings()


def test_what_config_prints_is_a_configuration_file(tmp_path: Path) -> None:
    settings = Settings.model_validate({"workers": 7, "namespace": "a,b", "leader-elect-retry-period": "1s"})
    file = tmp_path / "settings.yaml"
    file.write_text(settings.as_yaml())
    assert load_settings({}, {}, str(file)) == settings
    assert tuple(yaml.safe_load(settings.as_yaml())) == KEYS


@pytest.mark.parametrize(
    ("flags", "environ", "file", "expected"),
    [
        ({}, {"MODELINFER_CONTROLLER_WORKRES": "1"}, "", ["WORKRES", "did you mean MODELINFER_CONTROLLER_WORKERS"]),
        ({}, {}, "maxInFlight: 3", ["unknown setting maxInFlight", "did you mean max-in-flight"]),
        ({}, {}, "zzz: 3", ["unknown setting zzz", "there are: kubeconfig, context"]),
        ({}, {}, "workers: many", ["workers in ", "'many'"]),
        ({}, {}, "[1]", ["must hold settings"]),
        ({}, {}, "a: b: c", ["is not YAML"]),
        ({"workers": "0"}, {}, "", ["--workers:", "not '0'"]),
        ({"log-level": "loud"}, {}, "", ["--log-level:", "'debug', 'info', 'warning' or 'error'", "not 'loud'"]),
        ({"shutdown-timeout": "10"}, {}, "", ["--shutdown-timeout:", "15s, 1m30s or 500ms"]),
        ({}, {"MODELINFER_CONTROLLER_METRICS_BIND_ADDRESS": "8080"}, "", ["_METRICS_BIND_ADDRESS:", ":8080"]),
        ({"metrics-bind-address": ":70000"}, {}, "", ["--metrics-bind-address:"]),
        ({"kube-api-qps": "-1"}, {}, "", ["--kube-api-qps:"]),
        ({"leader-elect-renew-deadline": "15s"}, {}, "", ["leader-elect-lease-duration must be longer than"]),
        ({"workers": "x", "max-in-flight": "y"}, {}, "", ["--workers:", "--max-in-flight:"]),
    ],
)
def test_what_cannot_be_used_is_told_with_its_name_and_origin(
    flags: dict[str, str], environ: dict[str, str], file: str, expected: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(file)
    with pytest.raises(SettingsError) as caught:
        load_settings(flags, environ, str(path))
    message = str(caught.value)
    assert [part for part in expected if part not in message] == [], message
    assert "\n" not in message


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot read the configuration file .*nowhere: No such file"):
        load_settings({}, {}, str(tmp_path / "nowhere"))


def test_variables_of_service_links_are_none_of_ours() -> None:
    links = {
        "MODELINFER_CONTROLLER_METRICS_SERVICE_HOST": "10.0.0.1",
        "MODELINFER_CONTROLLER_METRICS_SERVICE_PORT": "8080",
        "MODELINFER_CONTROLLER_METRICS_SERVICE_PORT_METRICS": "8080",
        "MODELINFER_CONTROLLER_METRICS_PORT": "tcp://10.0.0.1:8080",
        "MODELINFER_CONTROLLER_METRICS_PORT_8080_TCP": "tcp://10.0.0.1:8080",
        "MODELINFER_CONTROLLER_METRICS_PORT_8080_TCP_ADDR": "10.0.0.1",
    }
    assert load_settings({}, links, None) == Settings()


def test_the_burst_follows_the_rate_unless_it_is_given() -> None:
    assert Settings.model_validate({"kube-api-qps": 0.3}).burst == 1
    assert Settings.model_validate({"kube-api-qps": 50}).burst == 100
    assert Settings.model_validate({"kube-api-qps": 50, "kube-api-burst": 7}).burst == 7


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("15s", 15),
        ("1m30s", 90),
        ("500ms", 0.5),
        ("1h", 3600),
        ("1.5s", 1.5),
        ("2h3m4s", 7384),
        ("0", 0),
        ("2us", 2e-6),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "15", "1m30", "s", "1d", "-1s", "1s ", "PT15S"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@given(st.integers(min_value=0, max_value=99_999).map(lambda tenths: timedelta(seconds=tenths / 10)))
def test_a_printed_duration_reads_as_itself(duration: timedelta) -> None:
    assert parse_duration(format_duration(duration)) == duration

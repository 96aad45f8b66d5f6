"""Probes answer as the components of Kubernetes do."""

from modelinfer_controller.app.probes import Probe


def test_a_probe_names_what_is_wrong() -> None:
    problem = ""
    probe = Probe({"caches": lambda: problem, "process": lambda: ""})
    assert probe.answer() == (200, "[+]caches ok\n[+]process ok\nok\n")
    problem = "waiting for pods"
    assert probe.answer() == (503, "[-]caches waiting for pods\n[+]process ok\nfailed\n")

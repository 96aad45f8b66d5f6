"""events, recreate, bundle, logs and --drain: what people reach for when something is down."""

from __future__ import annotations

import io
import json
import sys
import tarfile
from pathlib import Path
from xml.etree import ElementTree

import pytest
from clusters import NODES, NOW, Cluster
from PIL import Image
from situations import SITUATIONS, settled

from modelinfer_controller.exits import Exit
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.transport import Request, Response
from modelinfer_controller.kubectl.model.bundle import archive, redacted, redacted_text
from modelinfer_controller.kubectl.model.diagnostics import ClusterEvent, Diagnostics, ObjectReference
from modelinfer_controller.kubectl.model.event_timeline import timeline_of
from modelinfer_controller.kubectl.model.explanation import explain
from modelinfer_controller.kubectl.model.forecast import forecast
from modelinfer_controller.kubectl.model.logs import chosen_pods, last_words, prefix_of
from modelinfer_controller.kubectl.model.recreation import recreation_of, recreation_text
from modelinfer_controller.kubectl.model.snapshot import Listed, snapshot_of, with_leaving, without_node
from modelinfer_controller.kubectl.render.event_timeline import timeline_lines, timeline_plot
from modelinfer_controller.kubectl.render.explain import explanation_lines
from modelinfer_controller.kubectl.render.picture import require_picture, write_picture
from modelinfer_controller.kubectl.render.plan import forecast_lines
from modelinfer_controller.kubectl.render.terminal import Terminal

SVG = "{http://www.w3.org/2000/svg}"


def test_the_timeline_is_in_order_and_says_which_group() -> None:
    snapshot = SITUATIONS["crash-loop"]().snapshot()
    event = ClusterEvent(
        type="Warning",
        reason="BackOff",
        message="Back-off restarting failed container",
        count=17,
        involved_object=ObjectReference(kind="Pod", name="qwen-1-decode-0-1"),
        last_timestamp=snapshot.now,
    )
    timeline = timeline_of(snapshot, [event])
    times = [item.time for item in timeline.items]
    assert times == sorted(times)
    told = [(item.source, item.group, item.reason) for item in timeline.items]
    assert ("event", 1, "BackOff") in told
    assert ("pod", 1, "ContainerExited") in told
    assert ("revision", None, "RevisionCreated") in told
    assert ("condition", None, "Available=False") in told
    (repeated,) = [line for line in timeline_lines(timeline, Terminal(160)) if "BackOff  " in line]
    assert "(x17)" in repeated


@pytest.mark.parametrize("width", [40, 80, 160])
def test_the_timeline_fits(width: int) -> None:
    timeline = timeline_of(SITUATIONS["rollout-hangs"]().snapshot(), [])
    assert max(map(len, timeline_lines(timeline, Terminal(width)))) <= width


def test_the_picture_of_the_timeline_has_a_row_for_each_group() -> None:
    picture = ElementTree.fromstring(timeline_plot(timeline_of(SITUATIONS["crash-loop"]().snapshot(), [])))
    texts = {each.text for each in picture.iter("{http://www.w3.org/2000/svg}text")}
    assert {"qwen", "group 0", "group 1", "group 2"} <= texts
    assert len(list(picture.iter("{http://www.w3.org/2000/svg}circle"))) > 15


def test_a_group_is_recreated_under_the_budget_and_beyond_it_by_force() -> None:
    well = SITUATIONS["well"]().snapshot()
    told = recreation_of(well, 2, force=False)
    assert (told.available_after, told.required, len(told.pods)) == (2, 2, 5)
    assert "5 pods deleted; the controller creates them again" in recreation_text(told)

    one_is_down = SITUATIONS["crash-loop"]().snapshot()
    assert recreation_of(one_is_down, 1, force=False).is_within_budget  # it is the one that is down
    with pytest.raises(Exit, match=r"1 of 2 groups that must stay available .* --force"):
        recreation_of(one_is_down, 0, force=False)
    assert not recreation_of(one_is_down, 0, force=True).is_within_budget
    with pytest.raises(Exit, match="no pods to recreate"):
        recreation_of(well, 9, force=True)


def test_what_looks_like_a_secret_is_left_out() -> None:
    pod = {
        "metadata": {
            "name": "qwen-0",
            "managedFields": [{"manager": "kubectl"}],
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "kept": "yes"},
        },
        "spec": {
            "containers": [
                {
                    "args": ["--api-key=s3cret", "--model=m", "--endpoint=https://user:pw@host/x"],
                    "env": [
                        {"name": "HF_TOKEN", "value": "hf_abcdefghijkl"},
                        {"name": "PORT", "value": "8000"},
                        {"name": "OTHER", "value": "sk-0123456789"},
                        {"name": "REF", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                    ],
                }
            ]
        },
    }
    text = json.dumps(redacted(pod))
    for secret in ("s3cret", "hf_abc", "sk-0123", "user:pw", "managedFields", "last-applied"):
        assert secret not in text
    for kept in ("8000", "--model=m", "HF_TOKEN", "kept", "secretKeyRef"):
        assert kept in text
    assert redacted_text("Authorization: Bearer abc.def") == "Authorization: Bearer REDACTED"


def test_the_archive_holds_the_files_below_one_folder() -> None:
    with tarfile.open(fileobj=io.BytesIO(archive({"a.txt": "ä\n"}, "qwen-bundle", NOW))) as tar:
        (member,) = tar.getmembers()
        file = tar.extractfile(member)
        assert file is not None
        assert (member.name, file.read().decode()) == ("qwen-bundle/a.txt", "ä\n")


def test_pods_whose_logs_are_read_are_chosen_by_group_and_role() -> None:
    snapshot = SITUATIONS["well"]().snapshot()
    pods = chosen_pods(snapshot, 1, "decode")
    assert [pod.metadata.name for pod in pods] == [f"qwen-1-decode-{i}-{k}" for i in (0, 1) for k in (0, 1)]
    assert prefix_of(pods[1]) == "[1/decode-0/1]"
    assert len(chosen_pods(snapshot, None, None)) == 15


class Answering:
    def __init__(self, status: int, body: bytes) -> None:
        self.requests: list[Request] = []
        self._answer = Response(status, body)

    async def request(self, request: Request) -> Response:
        self.requests.append(request)
        return self._answer

    def stream(self, request: Request) -> None:
        raise NotImplementedError

    async def close(self) -> None: ...


async def test_the_last_words_of_the_container_that_died() -> None:
    cluster = SITUATIONS["crash-loop"]()
    pod = cluster.pods["qwen-1-decode-0-1"]
    server = Answering(200, b"loading weights\nCUDA out of memory\n\n")
    words = await last_words(Client(server), "models", pod, 5)  # type: ignore[arg-type]
    assert words == ("loading weights", "CUDA out of memory")
    assert server.requests[0].query == {"container": "main", "previous": "true", "tailLines": "5"}
    forbidden = Answering(403, b'{"kind":"Status","message":"no","reason":"Forbidden","code":403}')
    assert await last_words(Client(forbidden), "models", pod, 5) == ()  # type: ignore[arg-type]

    told = explain(cluster.snapshot(), Diagnostics(last_words={"qwen-1-decode-0-1": words}))
    lines = explanation_lines(told, Terminal(80))
    at = lines.index("  log   pod qwen-1-decode-0-1 ended with:")
    assert lines[at + 1 : at + 3] == ["        | loading weights", "        | CUDA out of memory"]


def test_a_drained_node_takes_its_pods_along() -> None:
    cluster = settled()
    listed = Listed(pods=tuple(cluster.pods.values()))
    left = without_node(listed, "gpu-0")
    assert {pod.spec.node_name for pod in left.pods} == {f"gpu-{n}" for n in range(1, 6)}
    with pytest.raises(Exit, match="no pod of a ModelInfer runs on node 'gpu-9'"):
        without_node(listed, "gpu-9")


def with_hand_over() -> tuple[Cluster, Listed]:
    cluster = settled()
    cluster.change({**json.loads(bytes(cluster.stored.spec)), "nodeDrainPolicy": "HandOver"})
    cluster.act()
    children = (cluster.pods, cluster.services, cluster.revisions)
    return cluster, Listed(*(tuple(each.values()) for each in children))  # type: ignore[arg-type]


def test_a_plan_tells_before_the_drain_which_groups_move_and_in_what_order() -> None:
    cluster, listed = with_hand_over()
    before = cluster.snapshot()
    nodes = with_leaving(NODES, listed.pods, ["gpu-0", "gpu-3"])
    told = forecast(snapshot_of(cluster.stored, listed, nodes, cluster.now).observed, before.decision, ())
    on_them = {pod.metadata.name for pod in cluster.pods.values() if pod.spec.node_name in ("gpu-0", "gpu-3")}
    assert set(told.moved) == {int(name.split("-")[1]) for name in on_them}
    assert told.obstacle == ""
    assert told.lowest_available == told.replicas - 1
    lines = "\n".join(forecast_lines(told, Terminal(100)))
    assert "handed over" in lines
    assert "moves off node gpu-" in lines
    with pytest.raises(Exit, match="no pod of a ModelInfer runs on node 'gpu-9'"):
        with_leaving(NODES, listed.pods, ["gpu-9"])


def test_an_explanation_names_the_groups_that_move_their_node_and_what_they_wait_for() -> None:
    cluster, listed = with_hand_over()
    nodes = with_leaving(NODES, listed.pods, ["gpu-0", "gpu-1", "gpu-2", "gpu-3"])
    told = explain(snapshot_of(cluster.stored, listed, nodes, cluster.now), Diagnostics())
    text = "\n".join(explanation_lines(told, Terminal(200)))
    assert "moves off node gpu-" in text
    assert "which is cordoned" in text
    assert "must stay so (maxUnavailable)" in text


def test_what_happens_to_pods_of_a_group_at_once_is_one_line() -> None:
    lines = timeline_lines(timeline_of(settled().snapshot(), []), Terminal(120))
    created = [line for line in lines if "PodCreated" in line]
    assert len(created) == 3
    assert "group 0, 5 pods" in created[0]
    assert len([line for line in lines if "Ready" in line and "group 1, 5 pods" in line]) == 1


@pytest.mark.parametrize("width", [40, 80, 100])
def test_a_line_of_the_timeline_says_whom_it_is_about(width: int) -> None:
    text = "\n".join(timeline_lines(timeline_of(SITUATIONS["crash-loop"]().snapshot(), []), Terminal(width)))
    assert "group 0, 5 pods" in " ".join(text.split())


def test_a_png_shows_what_the_svg_does(tmp_path: Path) -> None:
    drawing = timeline_plot(timeline_of(SITUATIONS["crash-loop"]().snapshot(), []))
    write_picture(str(tmp_path / "qwen.PNG"), drawing)
    picture = Image.open(tmp_path / "qwen.PNG").convert("RGB")
    assert picture.size == tuple(2 * int(ElementTree.fromstring(drawing).attrib[side]) for side in ("width", "height"))
    content = picture.tobytes()
    drawn = {circle.attrib["fill"] for circle in ElementTree.fromstring(drawing).iter(f"{SVG}circle")}
    assert drawn <= {"#" + content[at : at + 3].hex() for at in range(0, len(content), 3)}


def test_a_picture_that_cannot_be_drawn_is_refused_before_the_cluster_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Exit, match=r"a picture is a file that ends in \.svg or \.png"):
        require_picture("qwen.jpg")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(Exit, match=r"Pillow, which `python3 -m pip install pillow` installs; .* \.svg"):
        require_picture(str(tmp_path / "qwen.png"))
    require_picture("qwen.svg")

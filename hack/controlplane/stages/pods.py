"""How kwok plays the kubelet for pods on simulated nodes.

A pod that is bound to a node is Running and Ready at once, and a deleted one is gone after 100 ms. Annotations on a pod
change that. They are read at every change of the pod, so a test may put one into a pod template, or annotate a running
pod to make something happen to that pod now (`kubectl annotate pod NAME kwok.stage/fail-after=0s`). Durations are Go's:
500ms, 2s, 1m30s; they count from the last change of the pod's object. Ask for one fault at a time.

Starting

    kwok.stage/ready-after: D            Running at once, Ready after D
    kwok.stage/never-ready: "true"       Running, never Ready; Ready once the annotation is removed
    kwok.stage/image-pull-error: "true"  Pending, the first container waits with ImagePullBackOff; starts once the
                                         annotation is removed
    kwok.stage/init-restarts: "N"        Pending while the first init container fails and is restarted N times, each
                                         after kwok.stage/init-restart-after (default 200ms), then as usual

Faults of a running pod

    kwok.stage/fail-after: D             phase Failed; kwok.stage/exit-code (default 1), kwok.stage/reason (Error)
    kwok.stage/succeed-after: D          phase Succeeded
    kwok.stage/restart-after: D          the first container ends with the exit code and is started again:
                                         restartCount + 1, lastState.terminated, not Ready for
                                         kwok.stage/ready-again-after (default 500ms); again and again until the
                                         restartCount is kwok.stage/restarts (default 1)
    kwok.stage/init-restart-now: "N"     the first init container's restartCount becomes N while the pod runs (a
                                         sidecar, or a sandbox made anew), with lastState.terminated; stays Ready
    kwok.stage/crash-loop: "true"        Running, the first container waits with CrashLoopBackOff and is restarted
                                         every kwok.stage/restart-every (default 1s); Ready once the annotation is
                                         removed
    kwok.stage/unready-after: D          readiness is lost without a restart; Ready again once the annotation is removed

Ending

    kwok.stage/terminate-after: D        a deleted pod is gone after D instead of 100 ms

kwok deletes by name, without a UID, and sometimes twice: after less than 100 ms that hits pods that were made again
under their name. Where a test counts incarnations, let it play the kubelet itself (`Settings.kwok_pods`).
"""

from __future__ import annotations

import textwrap

from controlplane.stages.stage import Delay, Stage, has, lacks, number

_ALIVE = ".metadata.deletionTimestamp == null"
_PENDING = '.status.phase == "Pending"'
_RUNNING = '.status.phase == "Running"'
_READY = '[.status.conditions[]? | select(.type == "Ready") | .status] == ["True"]'
_NOT_READY = '[.status.conditions[]? | select(.type == "Ready") | .status] != ["True"]'
_RESTARTS = "([.status.containerStatuses[]?.restartCount] | max // 0)"
_INIT_RESTARTS = "(.status.initContainerStatuses[0]?.restartCount // 0)"
_INIT_RESTARTS_LEFT = f"(.spec.initContainers | length) > 0 and {_INIT_RESTARTS} < {number('init-restarts', 0)}"

_MAY_START = (_ALIVE, _PENDING, lacks("image-pull-error"), f"({_INIT_RESTARTS_LEFT}) | not")
_UNREADY_ON_PURPOSE = f"{has('never-ready')} or {has('crash-loop')}"
_MAY_RECOVER = (_ALIVE, _RUNNING, _NOT_READY, f"({_UNREADY_ON_PURPOSE} or {has('unready-after')}) | not")


def _conditions(status: str, *types: str, reason: str | None = None) -> str:
    why = "reason: null, message: null" if reason is None else f"reason: {reason}"
    each = f'status: "{status}", lastTransitionTime: {{{{ $now }}}}, {why}'
    return "\n".join(["conditions:", *(f"- {{type: {kind}, {each}}}" for kind in types)]) + "\n"


_ALL_READY = _conditions("True", "Initialized", "ContainersReady", "Ready")
_UNREADY = _conditions("False", "ContainersReady", "Ready", reason="ContainersNotReady")
_STARTED_UNREADY = _UNREADY + '- {type: Initialized, status: "True", lastTransitionTime: {{ $now }}}\n'
_INITIALIZING = _conditions("False", "Initialized", "ContainersReady", "Ready", reason="ContainersNotInitialized")

# Follows a list of conditions: somebody else would meet the pod's readiness gates.
_READINESS_GATES = """
{{ range .spec.readinessGates }}
- {type: {{ .conditionType | Quote }}, status: "True", lastTransitionTime: {{ $now }}}
{{ end }}
"""

_ADDRESSES = """
{{ $meta := .metadata }}
{{ $host := NodeIPWith .spec.nodeName | Quote }}
{{ $address := PodIPWith .spec.nodeName (or .spec.hostNetwork false) $meta.uid $meta.name $meta.namespace | Quote }}
hostIP: {{ $host }}
hostIPs: [{ip: {{ $host }}}]
podIP: {{ $address }}
podIPs: [{ip: {{ $address }}}]
startTime: {{ $now }}
"""

# The init containers have done their work; those that were restarted keep their count.
_INITIALIZED = """
{{ $before := or .status.initContainerStatuses list }}
{{ if .spec.initContainers }}
initContainerStatuses:
{{ range $i, $container := .spec.initContainers }}
{{ $old := dict }}
{{ if lt $i (len $before) }}{{ $old = index $before $i }}{{ end }}
- name: {{ $container.name }}
  image: {{ $container.image | Quote }}
  imageID: ""
  ready: true
  restartCount: {{ or $old.restartCount 0 }}
  lastState: {{ or $old.lastState dict | toJson }}
  {{ if eq (or $container.restartPolicy "") "Always" }}
  started: true
  state: {running: {startedAt: {{ $now }}}}
  {{ else }}
  started: false
  state: {terminated: {exitCode: 0, reason: Completed, startedAt: {{ $now }}, finishedAt: {{ $now }}}}
  {{ end }}
{{ end }}
{{ end }}
"""


def _started(*, ready: bool) -> str:
    """The first status of the containers of a pod that starts to run."""
    return f"""
containerStatuses:
{{{{ range .spec.containers }}}}
- name: {{{{ .name }}}}
  image: {{{{ .image | Quote }}}}
  imageID: ""
  ready: {str(ready).lower()}
  started: true
  restartCount: 0
  state: {{running: {{startedAt: {{{{ $now }}}}}}}}
{{{{ end }}}}
"""


def _waiting(first: str, others: str) -> str:
    """The containers of a pod that has not started them: the state of the first, and of the others."""
    return f"""
containerStatuses:
{{{{ range $i, $container := .spec.containers }}}}
- name: {{{{ $container.name }}}}
  image: {{{{ $container.image | Quote }}}}
  imageID: ""
  ready: false
  started: false
  restartCount: 0
  state: {{waiting: {{{{ if eq $i 0 }}}}{first}{{{{ else }}}}{others}{{{{ end }}}}}}
{{{{ end }}}}
"""


def _changed(field: str, first: str, others: str) -> str:
    """The container statuses that the pod has, in the list `field`, with the first and the others changed so."""
    return f"""
{{{{ $annotations := or .metadata.annotations dict }}}}
{{{{ $exitCode := or (index $annotations "kwok.stage/exit-code") "1" }}}}
{{{{ $reason := or (index $annotations "kwok.stage/reason") "Error" }}}}
{field}:
{{{{ range $i, $old := .status.{field} }}}}
{{{{ $since := $now }}}}{{{{ with $old.state.running }}}}{{{{ $since = .startedAt | Quote }}}}{{{{ end }}}}
- name: {{{{ $old.name }}}}
  image: {{{{ $old.image | Quote }}}}
  imageID: ""
  {{{{ if eq $i 0 }}}}
{textwrap.indent(first.strip(), "  ")}
  {{{{ else }}}}
{textwrap.indent(others.strip(), "  ")}
  {{{{ end }}}}
{{{{ end }}}}
"""


_ENDED = (
    "{terminated: {exitCode: {{ $exitCode }}, reason: {{ $reason }}, startedAt: {{ $since }}, finishedAt: {{ $now }}}}"
)
_SAME = """
ready: {{ $old.ready }}
started: {{ or $old.started false }}
restartCount: {{ $old.restartCount }}
state: {{ $old.state | toJson }}
lastState: {{ $old.lastState | toJson }}
"""
_SAME_UNREADY = _SAME.replace("{{ $old.ready }}", "false")
_RESTARTED = f"""
ready: false
started: true
restartCount: {{{{ add $old.restartCount 1 }}}}
state: {{running: {{startedAt: {{{{ $now }}}}}}}}
lastState: {_ENDED}
"""
_CRASHED = f"""
ready: false
started: false
restartCount: {{{{ add $old.restartCount 1 }}}}
state: {{waiting: {{reason: CrashLoopBackOff, message: back-off restarting failed container}}}}
lastState: {_ENDED}
"""
_STOPPED = f"""
ready: false
started: false
restartCount: {{{{ $old.restartCount }}}}
state: {_ENDED}
lastState: {{{{ $old.lastState | toJson }}}}
"""
_COMPLETED = _STOPPED.replace("{{ $exitCode }}", "0").replace("{{ $reason }}", "Completed")
_READY_AGAIN = """
ready: true
started: true
restartCount: {{ $old.restartCount }}
state: {{ if $old.state.running }}{{ $old.state | toJson }}{{ else }}{running: {startedAt: {{ $now }}}}{{ end }}
lastState: {{ $old.lastState | toJson }}
"""
_INIT_RESTARTED_WHILE_RUNNING = f"""
ready: {{{{ $old.ready }}}}
started: {{{{ or $old.started false }}}}
restartCount: {{{{ index $annotations "kwok.stage/init-restart-now" }}}}
state: {{{{ $old.state | toJson }}}}
lastState: {_ENDED}
"""

# The first init container failed once more and runs again; the others wait for it.
_INIT_RESTARTED = """
{{ $before := or .status.initContainerStatuses list }}
initContainerStatuses:
{{ range $i, $container := .spec.initContainers }}
- name: {{ $container.name }}
  image: {{ $container.image | Quote }}
  imageID: ""
  ready: false
  started: false
  {{ if eq $i 0 }}
  restartCount: {{ if $before }}{{ add (index $before 0).restartCount 1 }}{{ else }}1{{ end }}
  state: {running: {startedAt: {{ $now }}}}
  lastState: {terminated: {exitCode: 1, reason: Error, startedAt: {{ $now }}, finishedAt: {{ $now }}}}
  {{ else }}
  restartCount: 0
  state: {waiting: {reason: PodInitializing}}
  {{ end }}
{{ end }}
"""

_IMAGE_PULL_ERROR = (
    '{reason: ImagePullBackOff, message: {{ printf "Back-off pulling image %q" $container.image | Quote }}}'
)
_CONTAINER_CREATING = "{reason: ContainerCreating}"
_POD_INITIALIZING = "{reason: PodInitializing}"

_START = (
    Stage(
        "pod-ready",
        "Pod",
        (*_MAY_START, lacks("ready-after"), f"({_UNREADY_ON_PURPOSE}) | not"),
        "phase: Running\n" + _ALL_READY + _READINESS_GATES + _started(ready=True) + _INITIALIZED + _ADDRESSES,
    ),
    Stage(
        "pod-running",
        "Pod",
        (*_MAY_START, f"{has('ready-after')} or {_UNREADY_ON_PURPOSE}"),
        "phase: Running\n" + _STARTED_UNREADY + _READINESS_GATES + _started(ready=False) + _INITIALIZED + _ADDRESSES,
    ),
    Stage(
        "pod-image-pull-error",
        "Pod",
        (
            has("image-pull-error"),
            _ALIVE,
            _PENDING,
            '.status.containerStatuses[0]?.state.waiting.reason != "ImagePullBackOff"',
        ),
        _STARTED_UNREADY + _waiting(_IMAGE_PULL_ERROR, _CONTAINER_CREATING),
    ),
    Stage(
        "pod-init-container-restarted",
        "Pod",
        (has("init-restarts"), _ALIVE, _PENDING, lacks("image-pull-error"), _INIT_RESTARTS_LEFT),
        _INITIALIZING + _INIT_RESTARTED + _waiting(_POD_INITIALIZING, _POD_INITIALIZING),
        Delay(200, "init-restart-after"),
    ),
)

_RECOVER = (
    Stage(
        "pod-ready-later",
        "Pod",
        (*_MAY_RECOVER, f"{_RESTARTS} == 0"),
        _ALL_READY + _changed("containerStatuses", _READY_AGAIN, _READY_AGAIN),
        Delay(0, "ready-after"),
    ),
    Stage(
        "pod-ready-after-restart",
        "Pod",
        (*_MAY_RECOVER, f"{_RESTARTS} > 0"),
        _ALL_READY + _changed("containerStatuses", _READY_AGAIN, _READY_AGAIN),
        Delay(500, "ready-again-after"),
    ),
)

_FAULTS = (
    Stage(
        "pod-failed",
        "Pod",
        (has("fail-after"), _ALIVE, _RUNNING, f"({_READY}) or {_UNREADY_ON_PURPOSE}"),
        'phase: Failed\n{{ with index .metadata.annotations "kwok.stage/reason" }}reason: {{ . }}{{ end }}\n'
        + _conditions("False", "ContainersReady", "Ready", reason="PodFailed")
        + _changed("containerStatuses", _STOPPED, _STOPPED),
        Delay(0, "fail-after"),
        weight=1,
    ),
    Stage(
        "pod-succeeded",
        "Pod",
        (has("succeed-after"), _ALIVE, _RUNNING, _READY),
        "phase: Succeeded\n"
        + _conditions("False", "ContainersReady", "Ready", reason="PodCompleted")
        + "- {type: Initialized, reason: PodCompleted}\n"
        + _changed("containerStatuses", _COMPLETED, _COMPLETED),
        Delay(0, "succeed-after"),
        weight=1,
    ),
    Stage(
        "pod-container-restarted",
        "Pod",
        (has("restart-after"), _ALIVE, _RUNNING, _READY, f"{_RESTARTS} < {number('restarts', 1)}"),
        _UNREADY + _changed("containerStatuses", _RESTARTED, _SAME),
        Delay(0, "restart-after"),
        weight=1,
    ),
    Stage(
        "pod-crash-loop",
        "Pod",
        (has("crash-loop"), _ALIVE, _RUNNING),
        _UNREADY + _changed("containerStatuses", _CRASHED, _SAME),
        Delay(1000, "restart-every"),
        weight=1,
    ),
    Stage(
        "pod-unready",
        "Pod",
        (has("unready-after"), _ALIVE, _RUNNING, _READY),
        _UNREADY + _changed("containerStatuses", _SAME_UNREADY, _SAME),
        Delay(0, "unready-after"),
        weight=1,
    ),
    Stage(
        "pod-init-container-restarted-while-running",
        "Pod",
        (has("init-restart-now"), _ALIVE, _RUNNING, f"{_INIT_RESTARTS} < {number('init-restart-now', 0)}"),
        _changed("initContainerStatuses", _INIT_RESTARTED_WHILE_RUNNING, _SAME),
        weight=1,
    ),
)

_END = (
    Stage(
        "pod-deleted",
        "Pod",
        # The deletion that kwok sends sets the grace period to 0, which is a change of the pod, too: without the second
        # condition kwok may delete once more later, by name, and hit the pod's successor.
        (".metadata.deletionTimestamp != null", ".metadata.deletionGracePeriodSeconds != 0"),
        None,
        Delay(100, "terminate-after"),
    ),
)

POD_STAGES = (*_START, *_RECOVER, *_FAULTS, *_END)

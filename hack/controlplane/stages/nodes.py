"""How kwok plays a node: a new one becomes Ready at once. Its Lease kwok keeps by itself."""

from __future__ import annotations

from controlplane.stages.stage import Stage

_STATUS = """
phase: Running
conditions:
{{ range NodeConditions }}
- {type: {{ .type }}, status: {{ .status | Quote }}, reason: {{ .reason }}, message: {{ .message | Quote }},
   lastHeartbeatTime: {{ $now }}, lastTransitionTime: {{ $now }}}
{{ end }}
addresses:
- {type: InternalIP, address: {{ NodeIP | Quote }}}
- {type: Hostname, address: {{ .metadata.name | Quote }}}
nodeInfo:
  architecture: amd64
  operatingSystem: linux
  kubeletVersion: kwok-{{ Version }}
  containerRuntimeVersion: kwok-{{ Version }}
  kernelVersion: simulated
  osImage: simulated
  kubeProxyVersion: ""
  machineID: ""
  systemUUID: ""
  bootID: ""
{{ if not .status.allocatable }}
capacity: {cpu: 1k, memory: 4Ti, pods: 1k, ephemeral-storage: 4Ti}
allocatable: {cpu: 1k, memory: 4Ti, pods: 1k, ephemeral-storage: 4Ti}
{{ end }}
"""

NODE_STAGES = (
    Stage("node-ready", "Node", ('[.status.conditions[]? | select(.type == "Ready") | .status] != ["True"]',), _STATUS),
)

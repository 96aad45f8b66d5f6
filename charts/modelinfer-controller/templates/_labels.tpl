{{- define "labels" -}}
app.kubernetes.io/name: modelinfer-controller
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}
{{- define "selector" -}}
app.kubernetes.io/name: modelinfer-controller
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
{{- define "account" -}}
- kind: ServiceAccount
  name: modelinfer-controller
  namespace: {{ .Release.Namespace }}
{{- end }}
{{- define "rules" -}}
- apiGroups: [workload.volcano.sh]
  resources: [modelinfers]
  verbs: [list, watch]
- apiGroups: [workload.volcano.sh]
  resources: [modelinfers/status]
  verbs: [patch]
- apiGroups: [workload.volcano.sh]
  resources: [modelinfers/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [pods, services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [controllerrevisions]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [scheduling.volcano.sh, scheduling.k8s.io]
  resources: [podgroups]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
{{- end }}

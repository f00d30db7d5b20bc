{{- /* The rights on everything but Secrets, in each mode the same. */}}
{{- define "apicredential-operator.rights" -}}
- apiGroups: [apicredential.io]
  resources: [apicredentials]
  verbs: [get, list, watch]
- apiGroups: [apicredential.io]
  resources: [apicredentials/status]
  verbs: [patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{- define "apicredential-operator.subjects" -}}
subjects:
  - kind: ServiceAccount
    name: {{ include "apicredential-operator.name" . }}
    namespace: {{ .Release.Namespace }}
{{- end }}

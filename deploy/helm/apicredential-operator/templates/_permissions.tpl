{{- /* The permissions on everything except Secrets. They are the same in every mode. */}}
{{- define "apicredential-operator.permissions" -}}
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

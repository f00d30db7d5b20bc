{{- define "apicredential-operator.name" -}}
{{- $own := .Release.Name -}}
{{- if not (contains .Chart.Name $own) }}{{ $own = printf "%s-%s" $own .Chart.Name }}{{ end -}}
{{- .Values.fullnameOverride | default $own | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{- define "apicredential-operator.selector" -}}
app.kubernetes.io/name: {{ include "apicredential-operator.name" . }}
{{- end }}

{{- /* The labels and annotations of every object. Takes a list: context, additional labels, additional annotations. */}}
{{- define "apicredential-operator.metadata" -}}
{{- $root := index . 0 -}}
{{- $own := include "apicredential-operator.selector" $root | fromYaml -}}
labels:
  {{- merge dict $own (index . 1) $root.Values.labels | toYaml | nindent 2 }}
{{- with merge dict (index . 2) $root.Values.annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "apicredential-operator.lease" -}}
{{- .Values.leaderElection.leaseName | default (include "apicredential-operator.name" .) -}}
{{- end }}

{{- /* The namespaces to watch, separated by commas. Empty means all. */}}
{{- define "apicredential-operator.namespaces" -}}
{{- if eq .Values.mode "namespaced" -}}
{{- join "," .Values.namespaces -}}
{{- else if eq .Values.mode "pinned" -}}
{{- $names := list -}}
{{- range .Values.pinned }}{{ $names = append $names .namespace }}{{ end -}}
{{- if ne (len $names) (len (uniq $names)) }}{{ fail "pinned: a namespace occurs twice; list each namespace once" }}{{ end -}}
{{- join "," $names -}}
{{- end -}}
{{- end }}

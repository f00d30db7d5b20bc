{{- define "apicredential-operator.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end }}

{{- /* One argument for each flag that has a value. */}}
{{- define "apicredential-operator.args" -}}
{{- $listen := printf "%s:%d" .Values.listen.address (int .Values.listen.port) -}}
{{- $healthListen := printf "%s:%d" .Values.healthListen.address (int .Values.healthListen.port) -}}
{{- $lease := include "apicredential-operator.lease" . -}}
{{- with .Values -}}
- run
{{- range $flag := list
  (list "namespaces" (include "apicredential-operator.namespaces" $))
  (list "allowed-endpoints" (join "," .provider.allowedEndpoints))
  (list "provider-ca-file" (and (or .provider.ca.configMap .provider.ca.secret) "/etc/provider-ca/ca.crt"))
  (list "provider-proxy" .provider.proxy)
  (list "provider-proxy-credentials-file" (and .provider.proxyCredentialsSecret.name "/etc/provider-proxy/credentials"))
  (list "provider-timeout" .provider.timeout)
  (list "provider-rate" .provider.rate)
  (list "provider-burst" .provider.burst)
  (list "concurrency" .concurrency)
  (list "resync" .resync)
  (list "retry-base" .retryBase)
  (list "min-renewal-interval" .minRenewalInterval)
  (list "leader-election" (ternary "" "false" .leaderElection.enabled))
  (list "lease-name" (ternary "" $lease (eq $lease "apicredential-operator")))
  (list "lease-namespace" .leaderElection.leaseNamespace)
  (list "lease-duration" .leaderElection.leaseDuration)
  (list "listen" (ternary "" $listen (eq $listen "0.0.0.0:8080")))
  (list "health-listen" (ternary "" $healthListen (eq $healthListen "0.0.0.0:8081")))
  (list "log-format" .log.format)
  (list "log" .log.filter)
}}
{{- $value := last $flag }}
{{- if not (or (kindIs "invalid" $value) (eq (toString $value) "")) }}
- {{ printf "--%s=%v" (first $flag) $value | quote }}
{{- end }}
{{- end }}
{{- /* An empty list is a value, too: no name is allowed. */}}
{{- if kindIs "slice" .allowedTargetMetadata }}
- {{ printf "--allowed-target-metadata=%s" (join "," .allowedTargetMetadata) | quote }}
{{- end }}
{{- range .extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}

{{- /* Volumes without subPath: the kubelet updates them when the ConfigMap or Secret changes. */}}
{{- define "apicredential-operator.volumes" -}}
{{- with .Values.provider.ca -}}
{{- if .configMap }}
- name: provider-ca
  configMap:
    name: {{ .configMap }}
    items: [{key: {{ .key | quote }}, path: ca.crt}]
{{- else if .secret }}
- name: provider-ca
  secret:
    secretName: {{ .secret }}
    items: [{key: {{ .key | quote }}, path: ca.crt}]
{{- end }}
{{- end }}
{{- with .Values.provider.proxyCredentialsSecret }}
{{- if .name }}
- name: provider-proxy
  secret:
    secretName: {{ .name }}
    items: [{key: {{ .key | quote }}, path: credentials}]
{{- end }}
{{- end }}
{{- end }}

{{/* The release's name in names: `tickwire` once. */}}
{{- define "tickwire.name" -}}
{{- ternary .Release.Name (printf "%s-tickwire" .Release.Name) (contains "tickwire" .Release.Name) | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Labels of an object; takes (dict "root" $ "component" "edge"). */}}
{{- define "tickwire.labels" -}}
{{ include "tickwire.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "tickwire.selector" -}}
app.kubernetes.io/name: tickwire
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Labels of all pods of the release. */}}
{{- define "tickwire.release" -}}
app.kubernetes.io/name: tickwire
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "tickwire.image" -}}
{{ .root.Values.image.repository }}/{{ .component }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end -}}

{{- define "tickwire.secret" -}}
{{ .Values.secrets.existing | default (printf "%s-secrets" (include "tickwire.name" .)) }}
{{- end -}}

{{- define "tickwire.redis" -}}
{{- if .Values.redis.url -}}
{{ .Values.redis.url }}
{{- else -}}
redis://:$(REDIS_PASSWORD)@{{ include "tickwire.name" . }}-redis:6379
{{- end -}}
{{- end -}}

{{/* A setting's value as the environment carries it: lists by commas, tables as JSON. */}}
{{- define "tickwire.setting" -}}
{{- if kindIs "slice" . -}}
{{ join "," . }}
{{- else if kindIs "map" . -}}
{{ toJson . }}
{{- else if kindIs "float64" . -}}
{{ if eq . (floor .) }}{{ int64 . }}{{ else }}{{ . }}{{ end }}
{{- else -}}
{{ . }}
{{- end -}}
{{- end -}}

{{/* The port of a service that is there, or nothing; takes (dict "root" $ "service" "session"). */}}
{{- define "tickwire.port" -}}
{{- with get .root.Values.services .service }}{{ if .enabled }}{{ .port }}{{ end }}{{ end -}}
{{- end -}}

{{/* Where a service of the release is, whether it is there or not; takes (dict "root" $ "service" "session" "scheme" "http"). */}}
{{- define "tickwire.address" -}}
{{- $tls := dig .service "tls" "secretName" "" .root.Values.services -}}
{{ .scheme }}{{ if $tls }}s{{ end }}://{{ include "tickwire.name" .root }}-{{ .service }}:{{ dig .service "port" 0 .root.Values.services }}
{{- end -}}

{{/* The services that the page calls through its own host, as a YAML list. */}}
{{- define "tickwire.offered" -}}
{{- range $name := .Values.dashboard.services }}
{{- if and $.Values.dashboard.enabled (include "tickwire.port" (dict "root" $ "service" $name)) }}
- {{ $name }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Whether any trading service is there. */}}
{{- define "tickwire.trades" -}}
{{- range .Values.services }}{{ if and .enabled .trading }}yes{{ end }}{{ end -}}
{{- end -}}

{{/* Security of pods and containers: nothing beyond running. */}}
{{- define "tickwire.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "tickwire.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}

{{- define "tickwire.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* One variable from the Secret. */}}
{{- define "tickwire.fromSecret" -}}
- name: {{ .name }}
  valueFrom: { secretKeyRef: { name: {{ include "tickwire.secret" .root }}, key: {{ .key }} } }
{{- end -}}

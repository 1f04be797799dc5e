{{/* Where the release is, as options; a YAML list. */}}
{{- define "tickwire.loadTargets" -}}
- --target={{ include "tickwire.address" (dict "root" . "service" "edge" "scheme" "ws") }}
{{- if dig "tls" "secretName" "" .Values.services.edge }}
# Edges' certificates are made for the name that clients use.
- --insecure
{{- end }}
- --emitter=http://{{ include "tickwire.name" . }}-emitter:{{ .Values.services.emitter.port }}
{{- end -}}

{{- define "tickwire.loadArgs" -}}
- run
{{ include "tickwire.loadTargets" . }}
{{- $job := printf "%s-loadtest-agents" (include "tickwire.name" .) }}
{{- if int .Values.loadtest.agents }}
- --agents={{ range $index := until (int .Values.loadtest.agents) }}{{ if $index }},{{ end }}{{ $job }}-{{ $index }}.{{ $job }}:9100{{ end }}
{{- end }}
{{- range .Values.loadtest.args }}
- {{ . | quote }}
{{- end }}
{{- end -}}

{{/* A pod that makes load; takes (dict "root" $ "args" its arguments). */}}
{{- define "tickwire.loadPod" -}}
restartPolicy: Never
automountServiceAccountToken: false
enableServiceLinks: false
securityContext: {{- include "tickwire.podSecurity" . | nindent 2 }}
{{- include "tickwire.pullSecrets" .root }}
containers:
  - name: loadtest
    image: {{ include "tickwire.image" (dict "root" .root "component" "loadtest") }}
    imagePullPolicy: {{ .root.Values.image.pullPolicy }}
    securityContext: {{- include "tickwire.containerSecurity" . | nindent 6 }}
    args: {{- toYaml .args | nindent 6 }}
    env:
      {{- range $variable, $key := dict "TICKWIRE_LOADTEST_SECRET" "auth-secret" "TICKWIRE_LOADTEST_API_KEY" "api-key" "TICKWIRE_LOADTEST_AGENTS_TOKEN" "agents-token" }}
      {{- include "tickwire.fromSecret" (dict "root" $.root "name" $variable "key" $key) | nindent 6 }}
      {{- end }}
    resources: {{- toYaml .root.Values.loadtest.resources | nindent 6 }}
{{- end -}}

{{/* A service's pod; takes (dict "root" $ "component" name "service" its values with defaults). */}}
{{- define "tickwire.pod" -}}
{{- $service := .service }}
{{- $tls := dig "tls" "secretName" "" $service }}
{{- $scheme := ternary "HTTPS" "HTTP" (ne $tls "") }}
{{- $sleeps := and (gt (int $service.preStopSeconds) 0) (semverCompare ">=1.30.0-0" .root.Capabilities.KubeVersion.Version) }}
automountServiceAccountToken: false
# Kubernetes' own variables begin with the release's name, as the services' settings do.
enableServiceLinks: false
securityContext: {{- include "tickwire.podSecurity" . | nindent 2 }}
# What precedes SIGTERM, the drain, and time to hang up.
terminationGracePeriodSeconds: {{ add $service.preStopSeconds $service.drainSeconds 10 }}
{{- include "tickwire.pullSecrets" .root }}
{{- with $service.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $service.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $service.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $service.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- if $service.topologySpread }}
topologySpreadConstraints:
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "tickwire.selector" $ | nindent 8 }}
  {{- end }}
{{- end }}
containers:
  - name: {{ .component }}
    image: {{ include "tickwire.image" . }}
    imagePullPolicy: {{ .root.Values.image.pullPolicy }}
    securityContext: {{- include "tickwire.containerSecurity" . | nindent 6 }}
    {{- with $service.args }}
    args: {{- toYaml . | nindent 6 }}
    {{- end }}
    ports:
      - { name: http, containerPort: {{ $service.port }}, protocol: TCP }
    envFrom:
      - configMapRef: { name: {{ include "tickwire.name" .root }}-config }
    env: {{- include "tickwire.environment" . | nindent 6 }}
    startupProbe:
      httpGet: { path: /healthz, port: http, scheme: {{ $scheme }} }
      periodSeconds: 1
      failureThreshold: 60
    # The process answers. Redis being away is no reason to restart anything.
    livenessProbe:
      httpGet: { path: /healthz, port: http, scheme: {{ $scheme }} }
      periodSeconds: 10
      timeoutSeconds: 3
    # The data plane works, and no drain has begun.
    readinessProbe:
      httpGet: { path: /readyz, port: http, scheme: {{ $scheme }} }
      periodSeconds: 2
      timeoutSeconds: 2
      failureThreshold: 2
    {{- if $sleeps }}
    lifecycle:
      preStop: { sleep: { seconds: {{ $service.preStopSeconds }} } }
    {{- end }}
    resources: {{- toYaml $service.resources | nindent 6 }}
    volumeMounts:
      - { name: log, mountPath: /etc/tickwire/log, readOnly: true }
      {{- if $tls }}
      - { name: tls, mountPath: /etc/tickwire/tls, readOnly: true }
      {{- end }}
      {{- if .root.Values.redis.caSecret }}
      - { name: redis-ca, mountPath: /etc/tickwire/redis, readOnly: true }
      {{- end }}
volumes:
  - name: log
    configMap: { name: {{ include "tickwire.name" .root }}-log }
  {{- with $tls }}
  - name: tls
    secret: { secretName: {{ . }} }
  {{- end }}
  {{- with .root.Values.redis.caSecret }}
  - name: redis-ca
    secret: { secretName: {{ . }} }
  {{- end }}
{{- end -}}

{{- define "tickwire.environment" -}}
{{- $section := upper .service.section }}
- name: POD_NAME
  valueFrom: { fieldRef: { fieldPath: metadata.name } }
- name: TICKWIRE_TELEMETRY__INSTANCE
  value: $(POD_NAME)
- name: TICKWIRE_{{ $section }}__LISTEN
  value: 0.0.0.0:{{ .service.port }}
- name: TICKWIRE_{{ $section }}__DRAIN_MS
  value: {{ mul .service.drainSeconds 1000 | quote }}
{{ include "tickwire.fromSecret" (dict "root" .root "name" "REDIS_PASSWORD" "key" "redis-password") }}
- name: TICKWIRE_BACKPLANE__URL
  value: {{ include "tickwire.redis" .root | quote }}
{{ include "tickwire.fromSecret" (dict "root" .root "name" "TICKWIRE_AUTH__HS256_SECRET" "key" "auth-secret") }}
{{- if .service.trading }}
{{ include "tickwire.trading" . }}
{{- end }}
{{- if .service.apiKey }}
{{- if include "tickwire.trades" .root }}
{{ include "tickwire.fromSecret" (dict "root" .root "name" "API_KEY" "key" "api-key") }}
{{ include "tickwire.fromSecret" (dict "root" .root "name" "TRADING_KEY" "key" "trading-key") }}
- name: TICKWIRE_EMITTER__API_KEYS
  value: $(API_KEY),$(TRADING_KEY)
{{- else }}
{{ include "tickwire.fromSecret" (dict "root" .root "name" "TICKWIRE_EMITTER__API_KEYS" "key" "api-key") }}
{{- end }}
{{- if .root.Values.escalation.url }}
{{ include "tickwire.fromSecret" (dict "root" .root "name" "TICKWIRE_ESCALATION__SECRET" "key" "escalation-secret") }}
{{- end }}
{{- end }}
{{- if has $section (list "EDGE" "FEED" "ALGORITHM" "RISK") }}
- name: TICKWIRE_{{ $section }}__NODE
  value: $(POD_NAME)
{{- end }}
{{- if dig "tls" "secretName" "" .service }}
- name: TICKWIRE_{{ $section }}__TLS_CERT_FILE
  value: /etc/tickwire/tls/tls.crt
- name: TICKWIRE_{{ $section }}__TLS_KEY_FILE
  value: /etc/tickwire/tls/tls.key
{{- end }}
{{- with .service.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* How a trading service reaches the cluster and the others; takes what the pod does. */}}
{{- define "tickwire.trading" -}}
{{ include "tickwire.fromSecret" (dict "root" .root "name" "TICKWIRE_TRADING__SERVICE_KEY" "key" "trading-key") }}
- name: TICKWIRE_TRADING__API_KEYS
  value: $(TICKWIRE_TRADING__SERVICE_KEY)
- name: TICKWIRE_TRADING__EDGES
  value: {{ include "tickwire.address" (dict "root" .root "service" "edge" "scheme" "ws") }}/ws
{{- range list "emitter" "session" "algorithm" "risk" }}
- name: TICKWIRE_TRADING__{{ upper . }}
  value: {{ include "tickwire.address" (dict "root" $.root "service" . "scheme" "http") }}
{{- end }}
{{- if eq .service.section "session" }}
# A session is written by one pod, to which the others pass its commands on.
- name: POD_IP
  valueFrom: { fieldRef: { fieldPath: status.podIP } }
- name: TICKWIRE_SESSION__ADVERTISE
  value: http://$(POD_IP):{{ .service.port }}
{{- end }}
{{- end -}}

{{/* What all pods of the chart have in common. */}}

{{- define "keywright.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "keywright.securityContext" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* A value of `settings` as text; YAML's whole numbers come as floats. */}}
{{- define "keywright.setting" -}}
{{- if kindIs "float64" . }}{{ int64 . }}{{ else }}{{ . }}{{ end }}
{{- end }}

{{- define "keywright.settings" -}}
{{- range $name, $value := . }}
- name: {{ $name }}
  value: {{ include "keywright.setting" $value | quote }}
{{- end }}
{{- end }}

{{/* A source of a projected volume: one key of a Secret as a file. */}}
{{- define "keywright.secretFile" -}}
- secret:
    name: {{ .existingSecret }}
    items:
      - key: {{ .key }}
        path: {{ .path }}
{{- end }}

{{- define "keywright.scheduling" -}}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The container that migrates, for the Job and for the pods. */}}
{{- define "keywright.migration" -}}
name: migrate
image: {{ include "keywright.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
command: [keywright, migrate]
{{- with .Values.migration.grantTo }}
args: ["--grant-to", {{ . | quote }}]
{{- end }}
env:
  - name: KEYWRIGHT_DATABASE_URL_FILE
    value: /etc/keywright/migration/database-url
  {{- include "keywright.settings" (pick .Values.settings "KEYWRIGHT_KEY_BRAND" "KEYWRIGHT_ORG_CLAIM_FORMAT") | nindent 2 }}
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
securityContext:
  {{- include "keywright.securityContext" . | nindent 2 }}
resources:
  {{- toYaml .Values.migration.resources | nindent 2 }}
volumeMounts:
  - name: migration
    mountPath: /etc/keywright/migration
    readOnly: true
  - name: tmp
    mountPath: /tmp
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "keywright.migrationVolume" -}}
{{- $secret := default .Values.database.existingSecret .Values.migration.existingSecret }}
{{- $key := ternary .Values.migration.key .Values.database.key (ne .Values.migration.existingSecret "") }}
- name: migration
  projected:
    defaultMode: 0440
    sources:
      {{- include "keywright.secretFile" (dict "existingSecret" $secret "key" $key "path" "database-url") | nindent 6 }}
{{- end }}

{{- define "keywright.tmpVolume" -}}
- name: tmp
  emptyDir:
    medium: Memory
    sizeLimit: 64Mi
{{- end }}

{{/* The secrets of the service as sources of a projected volume; empty where it has none. */}}
{{- define "keywright.secretFiles" -}}
{{- $sources := list }}
{{- if ne .Values.database.engine "sqlite" }}
{{- $sources = append $sources (include "keywright.secretFile" (merge (dict "path" "database-url") .Values.database)) }}
{{- end }}
{{- if .Values.redis.existingSecret }}
{{- $sources = append $sources (include "keywright.secretFile" (merge (dict "path" "redis-url") .Values.redis)) }}
{{- end }}
{{- if .Values.console.existingSecret }}
{{- $sources = append $sources (include "keywright.secretFile" (merge (dict "path" "console-client-secret") .Values.console)) }}
{{- end }}
{{- join "\n" $sources }}
{{- end }}

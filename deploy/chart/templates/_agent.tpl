{{/*
An agent for the pods of an API server, as an entry of `initContainers`: one that runs beside the containers, started
before them and stopped after them (Kubernetes 1.29).

  initContainers:
    {{- include "keywright.agent" . | nindent 4 }}
  volumes:
    {{- include "keywright.agentVolumes" . | nindent 4 }}

In a chart that depends on this one, the context is `.Subcharts.keywright`.
*/}}
{{- define "keywright.agent" -}}
{{- $agent := .Values.agent }}
{{- $tls := ne .Values.tls.existingSecret "" }}
{{- $own := printf "%s://%s.%s.svc:%d" (ternary "https" "http" $tls) (include "keywright.fullname" .) .Release.Namespace (int .Values.service.port) }}
{{- $url := default $own $agent.url }}
{{- if and (hasPrefix "http://" $url) (not $agent.allowHttp) }}
{{- fail (printf "the agent would call %s without TLS: set agent.url to an https:// address, or agent.allowHttp where you trust the network of the cluster" $url) }}
{{- end }}
- name: keywright-agent
  image: {{ include "keywright.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  restartPolicy: Always
  command: [keywright, agent]
  env:
    - name: KEYWRIGHT_URL
      value: {{ $url | quote }}
    - name: KEYWRIGHT_VERIFIER_FILE
      value: /etc/keywright/agent/verifier
    - name: KEYWRIGHT_AGENT_LISTEN
      value: {{ $agent.listen | quote }}
    - name: KEYWRIGHT_AGENT_ACCESS
      value: {{ $agent.access | quote }}
    # The name in receipts of revocations.
    - name: KEYWRIGHT_AGENT_NAME
      valueFrom:
        fieldRef:
          fieldPath: metadata.name
    {{- if $agent.allowHttp }}
    - name: KEYWRIGHT_ALLOW_HTTP
      value: "1"
    {{- end }}
    {{- include "keywright.settings" $agent.settings | nindent 4 }}
    {{- with $agent.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  # The containers of the pod start once all changes have arrived.
  startupProbe:
    exec:
      command: [keywright, healthcheck, --ready]
    periodSeconds: 2
    timeoutSeconds: 5
    failureThreshold: 60
  securityContext:
    {{- include "keywright.securityContext" . | nindent 4 }}
  resources:
    {{- toYaml $agent.resources | nindent 4 }}
  volumeMounts:
    - name: keywright-agent
      mountPath: /etc/keywright/agent
      readOnly: true
{{- end }}

{{- define "keywright.agentVolumes" -}}
- name: keywright-agent
  secret:
    secretName: {{ required "agent.existingSecret is required: the Secret with the credential of a verifier" .Values.agent.existingSecret }}
    items:
      - key: {{ .Values.agent.key }}
        path: verifier
{{- end }}

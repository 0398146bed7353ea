{{/*
Combinations of values that the schema cannot refuse. All flaws are named at once, since an install shows one message.
*/}}
{{- define "keywright.validate" -}}
{{- $flaws := list }}
{{- $sqlite := eq .Values.database.engine "sqlite" }}
{{- if not .Values.image.repository }}
{{- $flaws = append $flaws "image.repository is required: that of your image, such as registry.acme.example/keywright" }}
{{- end }}
{{- if and (not .Values.auth0Domain) (not .Values.issuer) }}
{{- $flaws = append $flaws "auth0Domain is required, such as acme.eu.auth0.com, unless issuer is set" }}
{{- else if and .Values.auth0Domain .Values.issuer }}
{{- $flaws = append $flaws "auth0Domain and issuer are both set; set one of them" }}
{{- end }}
{{- if not .Values.audience }}
{{- $flaws = append $flaws "audience is required: the identifier of your API in Auth0" }}
{{- end }}
{{- if and (not $sqlite) (not .Values.database.existingSecret) }}
{{- $flaws = append $flaws "database.existingSecret is required: the Secret with the URL of PostgreSQL" }}
{{- end }}
{{- if and $sqlite (gt (int .Values.replicas) 1) }}
{{- $flaws = append $flaws "SQLite is for one process: set replicas to 1, or database.engine to postgresql" }}
{{- end }}
{{- if and $sqlite .Values.autoscaling.enabled }}
{{- $flaws = append $flaws "SQLite is for one process: set autoscaling.enabled to false, or database.engine to postgresql" }}
{{- end }}
{{- if and .Values.autoscaling.enabled (lt (int .Values.autoscaling.maxReplicas) (int .Values.autoscaling.minReplicas)) }}
{{- $flaws = append $flaws "autoscaling.maxReplicas is less than autoscaling.minReplicas" }}
{{- end }}
{{- if ne (empty .Values.console.clientId) (empty .Values.console.existingSecret) }}
{{- $flaws = append $flaws "the console needs console.clientId and console.existingSecret, both" }}
{{- end }}
{{- if and .Values.console.clientId (not (hasKey .Values.settings "KEYWRIGHT_PUBLIC_URL")) }}
{{- $flaws = append $flaws "the console needs settings.KEYWRIGHT_PUBLIC_URL, such as https://keys.acme.example" }}
{{- end }}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) }}
{{- $flaws = append $flaws "ingress.hosts is empty" }}
{{- end }}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) }}
{{- $flaws = append $flaws "httpRoute.parentRefs is empty: name the Gateway" }}
{{- end }}
{{- $monitored := or .Values.metrics.serviceMonitor.enabled .Values.metrics.prometheusRule.enabled }}
{{- if and $monitored (not .Values.metrics.enabled) }}
{{- $flaws = append $flaws "metrics.serviceMonitor and metrics.prometheusRule need metrics.enabled" }}
{{- end }}
{{- if and .Values.migration.existingSecret (not .Values.migration.grantTo) }}
{{- $flaws = append $flaws "migration.existingSecret needs migration.grantTo: the role of the service, which gets its rights" }}
{{- end }}
{{- if $flaws }}
{{- fail (join "; " $flaws) }}
{{- end }}
{{- end }}

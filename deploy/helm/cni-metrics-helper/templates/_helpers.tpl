{{- define "cni-metrics-helper.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "cni-metrics-helper.fullname" -}}
{{- default (printf "%s-%s" .Release.Name (include "cni-metrics-helper.name" .)) .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "cni-metrics-helper.selectorLabels" -}}
k8s-app: cni-metrics-helper
app.kubernetes.io/name: {{ include "cni-metrics-helper.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "cni-metrics-helper.labels" -}}
{{ include "cni-metrics-helper.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{- define "cni-metrics-helper.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "cni-metrics-helper.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "cni-metrics-helper.image" -}}
{{- with .Values.image -}}
{{- $tag := default $.Chart.AppVersion .tag -}}
{{- if .override -}}
{{- .override -}}
{{- else if .account -}}
{{- printf "%v.dkr.ecr.%s.%s/%s:%s" (ternary (printf "%.0f" .account) .account (kindIs "float64" .account)) .region .domain .name $tag -}}
{{- else if .registry -}}
{{- printf "%s/%s:%s" (trimSuffix "/" .registry) .name $tag -}}
{{- else -}}
{{- printf "%s:%s" .name $tag -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "cni-metrics-helper.prometheus" -}}
{{- if eq (toString .Values.env.USE_PROMETHEUS) "true" -}}true{{- end -}}
{{- end -}}

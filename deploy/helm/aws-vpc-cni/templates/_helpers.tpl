{{- define "aws-vpc-cni.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "aws-vpc-cni.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "aws-vpc-cni.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Labels of every object. k8s-app is what the original's runbooks and tools select by. */}}
{{- define "aws-vpc-cni.labels" -}}
app.kubernetes.io/name: {{ include "aws-vpc-cni.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ include "aws-vpc-cni.chart" . }}
k8s-app: aws-node
{{- end -}}

{{- define "aws-vpc-cni.selectorLabels" -}}
k8s-app: aws-node
{{- if not .Values.originalMatchLabels }}
app.kubernetes.io/name: {{ include "aws-vpc-cni.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
{{- end -}}

{{- define "aws-vpc-cni.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "aws-vpc-cni.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* (dict "root" $ "image" .Values.ipam.image): the whole reference of one container's image. */}}
{{- define "aws-vpc-cni.image" -}}
{{- $from := deepCopy .root.Values.image -}}
{{- range $key, $value := .image -}}
{{- if $value -}}{{- $_ := set $from $key $value -}}{{- end -}}
{{- end -}}
{{- $tag := default .root.Chart.AppVersion $from.tag -}}
{{- if .image.override -}}
{{- .image.override -}}
{{- else if .image.overrideRepository -}}
{{- printf "%s:%s" .image.overrideRepository $tag -}}
{{- else if $from.account -}}
{{- printf "%s.dkr.%s.%s.%s/%s:%s" (include "aws-vpc-cni.text" $from.account) $from.endpoint $from.region $from.domain $from.name $tag -}}
{{- else if $from.registry -}}
{{- printf "%s/%s:%s" (trimSuffix "/" $from.registry) $from.name $tag -}}
{{- else -}}
{{- printf "%s:%s" $from.name $tag -}}
{{- end -}}
{{- end -}}

{{- define "aws-vpc-cni.nodeAgentImage" -}}
{{- with .Values.nodeAgent.image -}}
{{- if .override -}}
{{- .override -}}
{{- else if .overrideRepository -}}
{{- printf "%s:%s" .overrideRepository .tag -}}
{{- else -}}
{{- printf "%s.dkr.%s.%s.%s/amazon/aws-network-policy-agent:%s" (include "aws-vpc-cni.text" .account) .endpoint .region .domain .tag -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What the services declare about their settings (generated). */}}
{{- define "aws-vpc-cni.facts" -}}
{{- .Files.Get "files/settings.json" -}}
{{- end -}}

{{/* A value as an environment variable has it: maps as JSON, YAML numbers without exponent, booleans as true and false. */}}
{{- define "aws-vpc-cni.text" -}}
{{- if kindIs "float64" . -}}
{{- if eq . (floor .) -}}{{- printf "%.0f" . -}}{{- else -}}{{- toString . -}}{{- end -}}
{{- else if kindIs "map" . -}}
{{- toJson . -}}
{{- else if not (kindIs "invalid" .) -}}
{{- toString . -}}
{{- end -}}
{{- end -}}

{{/* (dict "root" $ "name" NAME): the text of env.NAME (or init.env.NAME), empty when unset. */}}
{{- define "aws-vpc-cni.setting" -}}
{{- include "aws-vpc-cni.text" (get (include "aws-vpc-cni.allEnv" .root | fromJson) .name) | trim -}}
{{- end -}}

{{/* (dict "root" $ "name" NAME): "true" when env.NAME is a true boolean. */}}
{{- define "aws-vpc-cni.isOn" -}}
{{- if has (include "aws-vpc-cni.setting" .) (list "1" "t" "T" "TRUE" "true" "True") -}}true{{- end -}}
{{- end -}}

{{/*
(dict "root" $ "name" NAME): who gets this variable, comma-separated. files/settings.json (generated from the services'
declarations) names the readers of each setting. Any other AWS_* name (region, endpoint, credentials) goes to eni-manager
alone, anything else to all three services.
*/}}
{{- define "aws-vpc-cni.readers" -}}
{{- $known := get (include "aws-vpc-cni.facts" .root | fromJson).settings .name -}}
{{- if $known -}}
{{- join "," $known.services -}}
{{- else if hasPrefix "AWS_" .name -}}
eni-manager
{{- else -}}
eni-manager,ipam,netconf
{{- end -}}
{{- end -}}

{{/*
(dict "root" $ "service" "ipam" "own" .Values.ipam.extraEnv): what of `env` and `extraEnv` this container may see, then its
own extraEnv.
*/}}
{{- define "aws-vpc-cni.env" -}}
{{- $root := .root -}}
{{- $service := .service -}}
{{- range $name, $value := include "aws-vpc-cni.allEnv" .root | fromJson -}}
{{- if not (kindIs "invalid" $value) -}}
{{- if has $service (splitList "," (include "aws-vpc-cni.readers" (dict "root" $root "name" $name))) }}
- name: {{ $name }}
  value: {{ include "aws-vpc-cni.text" $value | quote }}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $item := .root.Values.extraEnv -}}
{{- if has $service (splitList "," (include "aws-vpc-cni.readers" (dict "root" $root "name" $item.name))) }}
- {{ toYaml $item | nindent 2 | trim }}
{{- end -}}
{{- end -}}
{{- range $item := .own }}
- {{ toYaml $item | nindent 2 | trim }}
{{- end -}}
{{- end -}}

{{/* (dict "root" $ "port" 61680): kubelet's own gRPC probes of the three health services of a container. */}}
{{- define "aws-vpc-cni.probes" -}}
startupProbe:
  grpc:
    port: {{ .port }}
    service: startup
  timeoutSeconds: {{ .root.Values.readinessProbeTimeoutSeconds }}
  {{- with .root.Values.startupProbe }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
livenessProbe:
  grpc:
    port: {{ .port }}
    service: live
  timeoutSeconds: {{ .root.Values.livenessProbeTimeoutSeconds }}
  {{- with omit .root.Values.livenessProbe "exec" }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
readinessProbe:
  grpc:
    port: {{ .port }}
    service: ready
  timeoutSeconds: {{ .root.Values.readinessProbeTimeoutSeconds }}
  {{- with omit .root.Values.readinessProbe "exec" }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/*
(dict "own" .Values.ipam.securityContext "add" (list …)): root without any capability but those named, on a read-only
root file system. Root, because sockets and state lie in directories of root that are closed to everybody else.
*/}}
{{- define "aws-vpc-cni.securityContext" -}}
{{- $capabilities := dict "drop" (list "ALL") -}}
{{- if .add -}}
{{- $_ := set $capabilities "add" .add -}}
{{- end -}}
{{- $base := dict "runAsUser" 0 "runAsGroup" 0 "allowPrivilegeEscalation" false "readOnlyRootFilesystem" true "capabilities" $capabilities "seccompProfile" (dict "type" "RuntimeDefault") -}}
{{- toYaml (mergeOverwrite $base (deepCopy (default dict .own))) -}}
{{- end -}}

{{- define "aws-vpc-cni.resources" -}}
{{- toYaml (default .root.Values.resources .own) -}}
{{- end -}}

{{/* Seconds until kubelet kills: ipam's preStop, then its drain, then those who wait for it, and some slack. */}}
{{- define "aws-vpc-cni.gracePeriod" -}}
{{- add (int .Values.preStop.timeoutSeconds) 20 -}}
{{- end -}}

{{/* Everything that is wrong with the values, in one failure. Messages of settings are the services' own (files/settings.json). */}}
{{- define "aws-vpc-cni.validate" -}}
{{- $problems := splitList "\n" (include "aws-vpc-cni.problems" .) -}}
{{- $found := list -}}
{{- range $problems -}}
{{- if trim . -}}{{- $found = append $found (trim .) -}}{{- end -}}
{{- end -}}
{{- if $found -}}
{{- fail (printf "\n\nCONFIG_INVALID: values that the services would refuse:\n  - %s\n" (join "\n  - " $found)) -}}
{{- end -}}
{{- end -}}

{{- define "aws-vpc-cni.problems" -}}
{{- $root := . -}}
{{- range $name, $value := .Values.env -}}
{{- $text := include "aws-vpc-cni.text" $value | trim -}}
{{- if $text }}
{{ include "aws-vpc-cni.settingProblem" (dict "root" $root "name" $name "text" $text "where" "env") }}
{{- end -}}
{{- end -}}
{{- range $name, $value := default dict .Values.init.env -}}
{{- $text := include "aws-vpc-cni.text" $value | trim -}}
{{- if $text }}
{{ include "aws-vpc-cni.settingProblem" (dict "root" $root "name" $name "text" $text "where" "init.env") }}
{{- end -}}
{{- end -}}
{{- range $list := list .Values.extraEnv .Values.eniManager.extraEnv .Values.ipam.extraEnv .Values.netconf.extraEnv -}}
{{- range $item := $list -}}
{{- $text := include "aws-vpc-cni.text" (get $item "value") | trim -}}
{{- if $text }}
{{ include "aws-vpc-cni.settingProblem" (dict "root" $root "name" $item.name "text" $text "where" "extraEnv") }}
{{- end -}}
{{- end -}}
{{- end -}}
{{- include "aws-vpc-cni.credentialProblems" . -}}
{{- include "aws-vpc-cni.combinationProblems" . -}}
{{- include "aws-vpc-cni.shapeProblems" . -}}
{{- end -}}

{{/* One variable: set by the chart, unknown, or a value that its service calls malformed. */}}
{{- define "aws-vpc-cni.settingProblem" -}}
{{- $facts := include "aws-vpc-cni.facts" .root | fromJson -}}
{{- $known := get $facts.settings .name -}}
{{- $text := .text -}}
{{- $label := printf "%s.%s=%s" .where .name (quote .text) -}}
{{- if hasKey $facts.chartSets .name -}}
{{ $label }}: set by the chart{{ with get $facts.chartSets .name }}; use {{ . }}{{ end }}
{{- else if not $known -}}
{{- if and (eq .where "env") (not (regexMatch $facts.free .name)) -}}
{{ $label }}: not a setting of this version; misspelt? Variables of your own belong in extraEnv
{{- end -}}
{{- else -}}
{{- $done := false -}}
{{- range $check := $known.checks -}}
{{- if and (not $done) (eq (regexMatch $check.pattern $text) (default false $check.negated)) -}}
{{- $done = true -}}
{{ $label }}: {{ $check.message }}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "aws-vpc-cni.credentialProblems" -}}
{{- $secret := list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" "AWS_SESSION_TOKEN" "AWS_WEB_IDENTITY_TOKEN_FILE" "AWS_CONTAINER_AUTHORIZATION_TOKEN" "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE" -}}
{{- range $service, $list := dict "ipam" .Values.ipam.extraEnv "netconf" .Values.netconf.extraEnv -}}
{{- range $item := $list -}}
{{- if has $item.name $secret }}
{{ $service }}.extraEnv.{{ $item.name }}: credentials are for eni-manager only; use eniManager.extraEnv
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Settings that are impossible together, in ipam's words; then what init.env may not say differently. */}}
{{- define "aws-vpc-cni.combinationProblems" -}}
{{- $root := . -}}
{{- $facts := include "aws-vpc-cni.facts" . | fromJson -}}
{{- range $case := $facts.combinations -}}
{{- $holds := true -}}
{{- range $name, $wanted := $case.when -}}
{{- $text := include "aws-vpc-cni.setting" (dict "root" $root "name" $name) -}}
{{- $value := default (get $facts.defaults $name) $text -}}
{{- if has $value (list "1" "t" "T" "TRUE" "True") -}}{{- $value = ternary $value "true" (eq $wanted "0") -}}{{- end -}}
{{- if has $value (list "0" "f" "F" "FALSE" "False") -}}{{- $value = ternary "0" "false" (eq $wanted "0") -}}{{- end -}}
{{- if regexMatch "^(-[0-9]+|0+)$" $value -}}{{- $value = "0" -}}{{- end -}}
{{- if ne $value $wanted -}}{{- $holds = false -}}{{- end -}}
{{- end -}}
{{- if $holds }}
{{ $case.message }}
{{- end -}}
{{- end -}}
{{- range $name, $value := default dict .Values.init.env -}}
{{- $own := include "aws-vpc-cni.text" $value | trim -}}
{{- $shared := include "aws-vpc-cni.text" (get $root.Values.env $name) | trim -}}
{{- if and $own $shared (ne $own $shared) }}
init.env.{{ $name }}={{ quote $own }} and env.{{ $name }}={{ quote $shared }} differ: it is one setting; set it in env
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Values of the original's chart that mean one container there and cannot be carried over to three. */}}
{{- define "aws-vpc-cni.shapeProblems" -}}
{{- $original := dict "capabilities" (dict "add" (list "NET_ADMIN" "NET_RAW")) -}}
{{- if and .Values.securityContext (ne (toJson .Values.securityContext) (toJson $original)) }}
securityContext is per container here: use eniManager.securityContext, ipam.securityContext, netconf.securityContext or netconf.capabilities
{{- end -}}
{{- if .Values.image.override }}
image.override names one image, there are three services: use eniManager.image.override, ipam.image.override and netconf.image.override
{{- end -}}
{{- if .Values.image.overrideRepository }}
image.overrideRepository names one image, there are three services: use image.registry, or the overrideRepository of each service
{{- end -}}
{{- if eq (include "aws-vpc-cni.text" .Values.image.account) "602401143452" }}
image.account="602401143452" is AWS's registry, which does not hold these images: use image.registry or your own account
{{- end -}}
{{- range $name, $tag := dict "image.tag" .Values.image.tag "init.image.tag" .Values.init.image.tag -}}
{{- if regexMatch "^v1\\.[0-9]+\\.[0-9]+" (toString $tag) }}
{{ $name }}={{ quote $tag }} is a tag of the original; leave it empty for {{ $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- range $name, $probe := dict "livenessProbe" .Values.livenessProbe "readinessProbe" .Values.readinessProbe -}}
{{- $command := join " " (dig "exec" "command" list $probe) -}}
{{- if and $command (not (contains "grpc-health-probe" $command)) }}
{{ $name }}.exec={{ quote $command }}: the containers are probed by kubelet's own gRPC probe; only the timing can be set
{{- end -}}
{{- end -}}
{{- if and .Values.cniConfig.enabled (not (trim .Values.cniConfig.fileContents)) }}
cniConfig.enabled=true needs cniConfig.fileContents
{{- end -}}
{{- if and (or .Values.uninstall.plugins .Values.uninstall.state .Values.uninstall.rules .Values.uninstall.force) (not .Values.uninstall.clean) }}
uninstall.plugins, state, rules and force need uninstall.clean=true
{{- end -}}
{{- $surge := dig "rollingUpdate" "maxSurge" 0 (.Values.updateStrategy | default dict) -}}
{{- if not (has (toString $surge) (list "0" "0%")) }}
updateStrategy.rollingUpdate.maxSurge={{ $surge }}: two pods of a node cannot share the host's ports; use maxUnavailable
{{- end -}}
{{- $ports := dict -}}
{{- range $name, $port := dict "ipam.healthPort" .Values.ipam.healthPort "netconf.healthPort" .Values.netconf.healthPort "eniManager.healthPort" .Values.eniManager.healthPort "ipam.metricsPort" .Values.ipam.metricsPort "netconf.metricsPort" .Values.netconf.metricsPort "eniManager.metricsPort" .Values.eniManager.metricsPort -}}
{{- $text := include "aws-vpc-cni.text" $port -}}
{{- if hasKey $ports $text }}
{{ $name }} and {{ get $ports $text }} are both {{ $text }}: all containers share the host's ports
{{- end -}}
{{- $_ := set $ports $text $name -}}
{{- end -}}
{{- end -}}

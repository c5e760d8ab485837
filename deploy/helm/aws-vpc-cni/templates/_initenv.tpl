{{/* `env`, and what of init.env is a setting of ours: the two are one (the original kept them apart, to be held in step by hand). */}}
{{- define "aws-vpc-cni.allEnv" -}}
{{- $settings := (include "aws-vpc-cni.facts" . | fromJson).settings -}}
{{- $all := deepCopy (default dict .Values.env) -}}
{{- range $name, $value := default dict .Values.init.env -}}
{{- if hasKey $settings $name -}}{{- $_ := set $all $name $value -}}{{- end -}}
{{- end -}}
{{- toJson $all -}}
{{- end -}}

{{/* What the init container reads; names that are no settings are its own. */}}
{{- define "aws-vpc-cni.initEnv" -}}
{{- $root := . -}}
{{- $own := default dict .Values.init.env -}}
{{- range $name, $value := mergeOverwrite (include "aws-vpc-cni.allEnv" . | fromJson) $own -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $readers := splitList "," (include "aws-vpc-cni.readers" (dict "root" $root "name" $name)) -}}
{{- if or (has "init" $readers) (hasKey $own $name) }}
- name: {{ $name }}
  value: {{ include "aws-vpc-cni.text" $value | quote }}
{{- end -}}
{{- end -}}
{{- end }}
- name: HOST_CNI_BIN_PATH
  value: /host/opt/cni/bin
{{- end -}}

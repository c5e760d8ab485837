{{/* What of `env` the init container reads; init.env wins. */}}
{{- define "aws-vpc-cni.initEnv" -}}
{{- $root := . -}}
{{- range $name, $value := mergeOverwrite (deepCopy .Values.env) (default dict .Values.init.env) -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $readers := splitList "," (include "aws-vpc-cni.readers" (dict "root" $root "name" $name)) -}}
{{- if or (has "init" $readers) (hasKey (default dict $root.Values.init.env) $name) }}
- name: {{ $name }}
  value: {{ include "aws-vpc-cni.text" $value | quote }}
{{- end -}}
{{- end -}}
{{- end }}
- name: HOST_CNI_BIN_PATH
  value: /host/opt/cni/bin
{{- end -}}

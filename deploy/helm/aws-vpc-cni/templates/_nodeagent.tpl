{{/* AWS's network policy agent with the arguments that its own chart gives it. */}}
{{- define "aws-vpc-cni.nodeAgent" -}}
- name: aws-eks-nodeagent
  image: {{ include "aws-vpc-cni.nodeAgentImage" . }}
  imagePullPolicy: {{ .Values.nodeAgent.image.pullPolicy }}
  ports:
    - name: agentmetrics
      containerPort: {{ int .Values.nodeAgent.metricsBindAddr }}
  args:
    - --enable-ipv6={{ .Values.nodeAgent.enableIpv6 }}
    - --enable-network-policy={{ .Values.enableNetworkPolicy }}
    - --enable-cloudwatch-logs={{ .Values.nodeAgent.enableCloudWatchLogs }}
    - --enable-policy-event-logs={{ .Values.nodeAgent.enablePolicyEventLogs }}
    - --log-file={{ .Values.nodeAgent.networkPolicyAgentLogFileLocation }}
    - --metrics-bind-addr=:{{ .Values.nodeAgent.metricsBindAddr }}
    - --health-probe-bind-addr=:{{ .Values.nodeAgent.healthProbeBindAddr }}
    - --conntrack-cache-cleanup-period={{ .Values.nodeAgent.conntrackCacheCleanupPeriod }}
    - --conntrack-cache-table-size={{ include "aws-vpc-cni.text" .Values.nodeAgent.conntrackCacheTableSize }}
    - --log-level={{ .Values.nodeAgent.logLevel }}
  env:
    - name: MY_NODE_NAME
      valueFrom:
        fieldRef:
          fieldPath: spec.nodeName
  securityContext:
    {{- toYaml .Values.nodeAgent.securityContext | nindent 4 }}
  resources:
    {{- include "aws-vpc-cni.resources" (dict "root" . "own" .Values.nodeAgent.resources) | nindent 4 }}
  volumeMounts:
    - name: cni-bin-dir
      mountPath: /host/opt/cni/bin
    - name: bpf-pin-path
      mountPath: /sys/fs/bpf
    - name: log-dir
      mountPath: /var/log/aws-routed-eni
    - name: run-dir
      mountPath: /var/run/aws-node
    - name: api-access
      mountPath: /var/run/secrets/kubernetes.io/serviceaccount
      readOnly: true
{{- end -}}

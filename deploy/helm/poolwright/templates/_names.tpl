{{/* Name of the objects. */}}
{{- define "poolwright.name" -}}
{{ .Values.fullnameOverride | default .Release.Name | trunc 50 | trimSuffix "-" }}
{{- end }}

{{/* What a selector says; never changes. */}}
{{- define "poolwright.selector" -}}
app.kubernetes.io/name: poolwright
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels of every object. */}}
{{- define "poolwright.labels" -}}
{{ include "poolwright.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Who the servers are to the cluster. */}}
{{- define "poolwright.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "poolwright.name" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end }}

{{/* The image: by digest if there is one. */}}
{{- define "poolwright.image" -}}
{{- $repository := required "image.repository: say where the image is (deploy/Containerfile builds it)" .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{ $repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ $repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* Secret of the certificate; empty where the servers issue their own. */}}
{{- define "poolwright.tlsSecret" -}}
{{- if .Values.tls.existingSecret -}}
{{ .Values.tls.existingSecret }}
{{- else if .Values.tls.certManager.enabled -}}
{{ include "poolwright.name" . }}-tls
{{- end -}}
{{- end }}

{{/* DNS names of the server, as YAML. */}}
{{- define "poolwright.names" -}}
{{- $service := printf "%s.%s.svc" (include "poolwright.name" .) .Release.Namespace -}}
{{ concat (list $service (printf "%s.cluster.local" $service)) .Values.tls.names | toYaml }}
{{- end }}

{{/* The seconds of an ISO 8601 duration. */}}
{{- define "poolwright.seconds" -}}
{{- $date := regexFind "^P[^T]*" . -}}
{{- $time := regexFind "T.*$" . -}}
{{- $days := regexFind "[0-9.]+D" $date | trimSuffix "D" | float64 -}}
{{- $hours := regexFind "[0-9.]+H" $time | trimSuffix "H" | float64 -}}
{{- $minutes := regexFind "[0-9.]+M" $time | trimSuffix "M" | float64 -}}
{{- $seconds := regexFind "[0-9.]+S" $time | trimSuffix "S" | float64 -}}
{{ addf (mulf $days 86400) (mulf $hours 3600) (mulf $minutes 60) $seconds }}
{{- end }}

{{/* Refuses durations that the servers would refuse; values.schema.json has the other bounds. */}}
{{- define "poolwright.checkDurations" -}}
{{- range $path, $bounds := .Files.Get "files/durations.json" | fromJson -}}
{{- $value := $.Values.settings -}}
{{- range $name := splitList "." $path -}}
{{- if kindIs "map" $value }}{{ $value = get $value $name }}{{ else }}{{ $value = "" }}{{ end -}}
{{- end -}}
{{- if $value -}}
{{- $seconds := include "poolwright.seconds" $value | float64 -}}
{{- $least := index $bounds 0 | float64 -}}
{{- $most := index $bounds 1 | float64 -}}
{{- if or (lt $seconds $least) (gt $seconds $most) -}}
{{- fail (printf "settings.%s: must be between %v s and %v s, not %s" $path $least $most $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* The settings, as YAML: what was given, and over it what the chart decides. */}}
{{- define "poolwright.settings" -}}
{{- include "poolwright.checkDurations" . -}}
{{- $server := dict
  "host" "0.0.0.0"
  "port" 8443
  "names" (include "poolwright.names" . | fromYamlArray)
  "data_dir" "/var/lib/poolwright"
  "migrates" false
  "drain" (printf "PT%dS" (int .Values.drainSeconds)) -}}
{{- if include "poolwright.tlsSecret" . -}}
{{- $_ := merge $server (dict
  "tls_certificate" "/etc/poolwright/tls/tls.crt"
  "tls_key" "/etc/poolwright/tls/tls.key"
  "tls_ca" "/etc/poolwright/tls/ca.crt") -}}
{{- end -}}
{{- if .Values.tokenKeys.existingSecret -}}
{{- $files := list -}}
{{- range .Values.tokenKeys.keys }}{{ $files = append $files (printf "/etc/poolwright/tokens/%s" .) }}{{ end -}}
{{- $_ := set $server "token_keys" $files -}}
{{- end -}}
{{- $adopt := dict
  "kubeconfig" "/etc/poolwright/settings/kubeconfig"
  "cluster_name" .Values.cluster.name
  "resource_group" .Values.cluster.resourceGroup
  "location" .Values.cluster.location -}}
{{- $own := dict "server" $server "adopt" $adopt "arm" (dict "is_development" false) -}}
{{ mergeOverwrite (dict "log" (dict "format" "json" "level" "info")) (deepCopy .Values.settings) $own | toYaml }}
{{- end }}

{{/* How servers and the job that migrates are locked down: Pod Security's "restricted". */}}
{{- define "poolwright.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "poolwright.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Where pods run: never on a machine that is only simulated, where nothing would start. */}}
{{- define "poolwright.realNodes" -}}
requiredDuringSchedulingIgnoredDuringExecution:
  nodeSelectorTerms:
    - matchExpressions:
        - key: poolwright.dev/machine-provider
          operator: DoesNotExist
{{- end }}

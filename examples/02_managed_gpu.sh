#!/usr/bin/env bash
# A fully managed GPU node pool, with the commands of the article "Create a fully managed GPU node
# pool on AKS" as the released clients can say them (the pool tag; see decisions in docs/).
#
# With REAL_KUBERNETES=1 it walks on a Kubernetes that was there already, served by
#   poolwright up --kubeconfig F --resource-group MyResourceGroup --cluster-name MyAKSCluster
# and says what it leaves out there (docs/guides/real-kubernetes.md).
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
run() { printf '$ %s\n' "$*"; "$@"; }
embedded() { # REASON COMMAND...: not on a Kubernetes that was there already
  if [ -n "${REAL_KUBERNETES:-}" ]; then printf '# left out, %s: %s\n' "$1" "${*:2}"; else run "${@:2}"; fi
}

run az group create --name MyResourceGroup --location eastus -o none
embedded 'the cluster is there' az aks create -g MyResourceGroup -n MyAKSCluster --node-count 1 --no-ssh-key -o none

# Register the preview
run az feature register --namespace Microsoft.ContainerService --name ManagedGPUExperiencePreview -o none
until [ "$(az feature show --namespace Microsoft.ContainerService --name ManagedGPUExperiencePreview --query properties.state -o tsv)" = Registered ]; do
  sleep 0.5
done
run az feature show --namespace Microsoft.ContainerService --name ManagedGPUExperiencePreview -o table
run az provider register --namespace Microsoft.ContainerService
run az aks get-credentials --resource-group MyResourceGroup --name MyAKSCluster --overwrite-existing

# One step: driver, device plugin and DCGM exporter
run az aks nodepool add --resource-group MyResourceGroup --cluster-name MyAKSCluster --name gpunp \
  --node-count 1 --node-vm-size Standard_NC6s_v3 --node-taints sku=gpu:NoSchedule \
  --enable-cluster-autoscaler --min-count 1 --max-count 3 \
  --tags EnableManagedGPUExperience=true -o table
run kubectl get pods -n default
run kubectl get nodes -l agentpool=gpunp -o 'custom-columns=NAME:.metadata.name,GPU:.status.allocatable.nvidia\.com/gpu'
plugin="$(kubectl get pods -n default -l app.kubernetes.io/name=nvidia-device-plugin -o jsonpath='{.items[0].metadata.name}')"
embedded 'KWOK runs no containers' kubectl exec "$plugin" -- nvidia-smi

# The sample workload, and metrics while it runs
run kubectl apply -f "$here/files/samples-tf-mnist-demo.yaml"
run kubectl wait --for=condition=Ready pod -l app=samples-tf-mnist-demo --timeout=120s
node="$(kubectl get nodes -l agentpool=gpunp -o jsonpath='{.items[0].metadata.name}')"
embedded 'KWOK has no exporter' kubectl get --raw "/api/v1/nodes/$node:19400/proxy/metrics"
run kubectl wait --for=condition=Complete job/samples-tf-mnist-demo --timeout=120s
embedded 'KWOK runs no containers' kubectl logs -l app=samples-tf-mnist-demo --tail=5

# Azure Linux
run az aks nodepool add --resource-group MyResourceGroup --cluster-name MyAKSCluster --name gpual \
  --node-count 1 --os-sku AzureLinux --node-vm-size Standard_NC6s_v3 --node-taints sku=gpu:NoSchedule \
  --enable-cluster-autoscaler --min-count 1 --max-count 3 \
  --tags EnableManagedGPUExperience=true -o none

# Bring your own driver: nothing is installed
run az aks nodepool add --resource-group MyResourceGroup --cluster-name MyAKSCluster --name byo \
  --node-count 1 --node-vm-size Standard_NC6s_v3 --gpu-driver None -o none
run kubectl get nodes -o 'custom-columns=POOL:.metadata.labels.agentpool,GPU:.status.allocatable.nvidia\.com/gpu'
run az aks nodepool list -g MyResourceGroup --cluster-name MyAKSCluster -o table

run az group delete --name MyResourceGroup --yes

#!/usr/bin/env bash
# Several node pools in one cluster, with the commands of the article "Create and manage multiple
# node pools for a cluster in AKS" (2019) as they are written today.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
run() { printf '$ %s\n' "$*"; "$@"; }
table() { run az aks nodepool list -g myResourceGroup --cluster-name myAKSCluster -o table; }

# The article's preview features still can be registered; they gate nothing today.
run az feature register --name MultiAgentpoolPreview --namespace Microsoft.ContainerService -o none
run az feature register --name VMSSPreview --namespace Microsoft.ContainerService -o none
run az feature list -o table --query "[?contains(name, 'Microsoft.ContainerService/MultiAgentpoolPreview')].{Name:name,State:properties.state}"
run az provider register --namespace Microsoft.ContainerService

# A cluster with one pool, at the article's version
run az group create --name myResourceGroup --location eastus -o table
run az aks create --resource-group myResourceGroup --name myAKSCluster --node-count 1 \
  --kubernetes-version 1.12.6 --no-ssh-key --node-vm-size Standard_DS2_v2 -o table
run az aks get-credentials --resource-group myResourceGroup --name myAKSCluster --overwrite-existing

# Add a node pool
run az aks nodepool add --resource-group myResourceGroup --cluster-name myAKSCluster --name mynodepool --node-count 3 -o none
table

# Upgrade it, a patch ahead
run az aks nodepool upgrade --resource-group myResourceGroup --cluster-name myAKSCluster --name mynodepool \
  --kubernetes-version 1.12.7 --yes --no-wait
table
run az aks nodepool wait -g myResourceGroup --cluster-name myAKSCluster -n mynodepool --updated --interval 1

# Scale it
run az aks nodepool scale --resource-group myResourceGroup --cluster-name myAKSCluster --name mynodepool --node-count 5 --no-wait
table
run az aks nodepool wait -g myResourceGroup --cluster-name myAKSCluster -n mynodepool --updated --interval 1
table

# Delete it
run az aks nodepool delete -g myResourceGroup --cluster-name myAKSCluster --name mynodepool --no-wait
table
run az aks nodepool wait -g myResourceGroup --cluster-name myAKSCluster -n mynodepool --deleted --interval 1

# A pool of another size, with GPUs
run az aks nodepool add --resource-group myResourceGroup --cluster-name myAKSCluster --name gpunodepool \
  --node-count 1 --node-vm-size Standard_NC6 -o none
run kubectl get nodes

# Taint its node, and schedule a pod that tolerates the taint
node="$(kubectl get nodes -l agentpool=gpunodepool -o jsonpath='{.items[0].metadata.name}')"
run kubectl taint node "$node" sku=gpu:NoSchedule
run kubectl apply -f "$here/files/gpu-toleration.yaml"
run kubectl wait --for=condition=Ready pod/mypod --timeout=60s
run kubectl describe pod mypod

# The same by a template of the article's time
run az deployment group create --resource-group myResourceGroup --template-file "$here/files/aks-agentpools.json" \
  --parameters clusterName=myAKSCluster location=eastus -o table
table

# Clean up
run az aks nodepool delete -g myResourceGroup --cluster-name myAKSCluster --name gpunodepool
run az group delete --name myResourceGroup --yes --no-wait
run az group wait --name myResourceGroup --deleted --interval 1

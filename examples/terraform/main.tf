# A managed GPU pool by the azapi provider, of Terraform or OpenTofu:
#
#   source DIR/env.sh
#   terraform init && terraform apply

terraform {
  required_providers {
    azapi = { source = "Azure/azapi" }
  }
}

provider "azapi" {}

variable "gpu_nodes" {
  type    = number
  default = 1
}

resource "azapi_resource" "group" {
  type     = "Microsoft.Resources/resourceGroups@2021-04-01"
  name     = "terraform"
  location = "eastus"
}

resource "azapi_resource" "cluster" {
  type      = "Microsoft.ContainerService/managedClusters@2026-05-01"
  name      = "tf1"
  parent_id = azapi_resource.group.id
  location  = "eastus"
  # Released providers do not know every api-version.
  schema_validation_enabled = false

  identity { type = "SystemAssigned" }

  body = {
    properties = {
      dnsPrefix         = "tf1"
      agentPoolProfiles = [{ name = "system", mode = "System", count = 1, vmSize = "Standard_D4s_v5" }]
    }
  }

  # The cluster lists every pool there, those of their own resources too.
  lifecycle { ignore_changes = [body.properties.agentPoolProfiles] }
}

resource "azapi_resource" "gpu" {
  type                      = "Microsoft.ContainerService/managedClusters/agentPools@2026-05-01"
  name                      = "gpunp"
  parent_id                 = azapi_resource.cluster.id
  schema_validation_enabled = false

  body = {
    properties = {
      count  = var.gpu_nodes
      mode   = "User"
      vmSize = "Standard_NC24ads_A100_v4"
      tags   = { EnableManagedGPUExperience = "true" }
    }
  }

  response_export_values = ["properties.count", "properties.provisioningState"]
}

output "gpu" {
  value = azapi_resource.gpu.output.properties
}

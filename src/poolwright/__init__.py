"""Poolwright: a control plane for Kubernetes node pools with a fully managed GPU experience."""

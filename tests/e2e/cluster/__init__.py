"""A real Kubernetes cluster on nodes of the VPC lab: parts, control plane, nodes, and their removal."""

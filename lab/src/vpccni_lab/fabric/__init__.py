"""The packet side of the VPC: routers, links and filters in network namespaces, kept as EC2's state says."""

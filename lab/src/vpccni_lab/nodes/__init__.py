"""Nodes: instances that programs can run in, each with its own network, mounts and host name."""

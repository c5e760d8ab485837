"""Thin wrappers of Linux: namespaces and mounts, rtnetlink in a namespace, processes that can be found again."""

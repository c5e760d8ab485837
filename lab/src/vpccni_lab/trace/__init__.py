"""Spans: a collector that keeps what the services export, and trees for people."""

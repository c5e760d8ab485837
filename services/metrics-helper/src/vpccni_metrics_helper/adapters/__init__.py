"""The Kubernetes API, CloudWatch, Prometheus."""

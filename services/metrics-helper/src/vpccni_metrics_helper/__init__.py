"""cni-metrics-helper: the nodes' metrics added up for the whole cluster."""

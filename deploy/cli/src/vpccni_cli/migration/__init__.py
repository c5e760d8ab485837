"""From a DaemonSet of the original to values of our chart: pure functions over frozen values."""

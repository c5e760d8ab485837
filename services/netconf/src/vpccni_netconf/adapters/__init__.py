"""The kernel, behind the ports of ``vpccni_netconf.ports``."""

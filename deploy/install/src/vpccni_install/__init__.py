"""What a node needs besides the services: sysctls, plugin binaries, the conflist; and their removal."""

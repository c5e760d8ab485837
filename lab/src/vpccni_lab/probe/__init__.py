"""Real packets: sockets inside the lab's namespaces, sent and received by this process."""

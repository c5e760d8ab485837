"""The background process of one lab: it is the cloud (EC2, IMDS, fabric) and keeps the nodes and their services."""

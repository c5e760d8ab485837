"""Web pages of a lab: the VPC as EC2 has it, and the node page of each node."""

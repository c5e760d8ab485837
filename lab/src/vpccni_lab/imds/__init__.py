"""Instance metadata (IMDSv2) of one instance, read from the lab's EC2 state at every request."""

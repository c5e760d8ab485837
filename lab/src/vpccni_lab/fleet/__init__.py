"""Many nodes in virtual time: the decisions of ipam and eni-manager, their token buckets, and the lab's EC2 (docs/fleet.md)."""

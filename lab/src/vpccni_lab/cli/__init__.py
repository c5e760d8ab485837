"""The command ``vpclab``."""

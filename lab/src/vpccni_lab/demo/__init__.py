"""Who should reach whom, and from which address: the expectations that ``check`` and ``demo`` hold against real packets."""

"""What the command line says instead of a traceback."""


class UsageError(Exception):
    """Input that cannot be used; the message names it and what would be right. Exit status 2."""

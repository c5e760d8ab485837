"""The command ``vpccni``: one file per subcommand in ``commands/``."""

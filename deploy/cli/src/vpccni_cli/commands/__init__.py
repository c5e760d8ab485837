"""The subcommands, one module each: NAME, HELP, ``configure(parser)`` and ``run(args) -> exit status``."""

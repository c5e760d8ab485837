"""See the distribution's pyproject.toml for what it is."""

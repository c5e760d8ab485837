"""What to write where: pure functions of the settings."""

"""What is added up, and how. Pure."""

"""What every service process needs, and nothing about addresses, ENIs or packets."""

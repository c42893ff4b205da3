"""Studies of stages: policies side by side under shifts, along runs and over settings."""

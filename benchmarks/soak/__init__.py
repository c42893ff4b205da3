"""Endurance: faults of every kind through the real command line, and what must hold after each."""

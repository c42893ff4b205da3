"""What five papers claim, and what a study finds of it."""

"""Which feature will win, before tuning, and how well that is known of what was never seen."""

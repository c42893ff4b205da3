"""Text-out tasks: demonstrations, preferences, a gold reward, shifts, and a spurious rule under evidence."""

"""Symbol sequences: a catalogue of features, exact conditional draws, minimal edits, and their pairs."""

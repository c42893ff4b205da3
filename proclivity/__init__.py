"""The front door: command line, study files, store, runner."""

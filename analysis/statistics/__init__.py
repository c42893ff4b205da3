"""Tests, intervals and regressions, whatever their tables are of."""

"""Pairs of features: use against extractability and evidence, between methods, dials and reward models."""

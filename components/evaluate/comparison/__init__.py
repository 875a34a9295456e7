"""Comparison of two models by their evaluations."""

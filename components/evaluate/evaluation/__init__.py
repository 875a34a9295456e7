"""Evaluation of any model on the raw media of the current test split."""

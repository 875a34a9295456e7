"""Robustness: how much worse predictions get when their media do."""

"""Converts pretrained encoders of Python packages to where settings may name them."""

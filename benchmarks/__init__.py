"""Measurements of every figure that the README and docs/ state; `make bench` prints the table."""

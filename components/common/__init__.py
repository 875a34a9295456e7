"""Atomic files, content hashes, errors, figures. Imports nothing else of the project."""

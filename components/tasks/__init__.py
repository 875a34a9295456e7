"""Task kinds: a folder per kind."""

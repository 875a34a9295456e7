"""Every figure that the README states, and the command that prints it: `make bench`."""

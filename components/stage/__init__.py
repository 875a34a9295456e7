"""How a stage runs: its command line, settings, exit codes, progress, resource sampling."""

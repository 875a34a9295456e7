"""New data, warm start, and the commit of what a run leaves."""

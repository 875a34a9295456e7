"""Every setting of the pipeline: which there are, and what a parameter file means."""

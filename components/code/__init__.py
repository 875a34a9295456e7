"""Stage: list the code that each stage can run."""

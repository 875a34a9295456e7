"""Simple models of each task, which the trained model is compared with."""

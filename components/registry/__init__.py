"""The model in MLflow, and how to ask it."""

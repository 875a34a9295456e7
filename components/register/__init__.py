"""Log a model to MLflow and register it."""

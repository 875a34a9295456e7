"""Everything that talks to MLflow's tracking store and model registry."""

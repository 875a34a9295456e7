"""PostgreSQL, MLflow's server and Prefect's server on this machine, for a team."""

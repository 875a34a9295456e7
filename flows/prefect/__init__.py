"""Runs, artifacts and notifications in Prefect."""

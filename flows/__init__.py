"""Prefect's part: order, retries, schedules, notifications, promotion. No machine learning."""

"""The training loop: checkpoints, schedules, distribution, task sampling, loss weighting."""

"""Networks, and how raw media become their inputs."""

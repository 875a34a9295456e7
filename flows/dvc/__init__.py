"""DVC's stages, driven from one process."""

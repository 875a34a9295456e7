"""From a source to samples, media shards, a quarantine and a vocabulary."""

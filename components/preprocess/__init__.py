"""From media shards to tensor shards, one run per modality."""

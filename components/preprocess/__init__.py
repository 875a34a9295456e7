"""From media shards to tensor shards, one stage a modality."""

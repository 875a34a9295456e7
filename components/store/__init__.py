"""Ground floor: atomic files, content hashes, shards, checked tables. Imports nothing of ours."""

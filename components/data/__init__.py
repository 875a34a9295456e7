"""Shard sets, tables, and the samples and assets that learning stages read from them."""

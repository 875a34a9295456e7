"""Readers, one a source; `components.ingest.__main__.SOURCES` names them."""

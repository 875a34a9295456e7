"""From a table or folder of data to a params.yaml that runs."""

"""params.yaml as typed settings, and the command line that every stage shares."""

"""Names in MLflow that hold unless params.yaml has others."""

MODEL = "synesthesia"
NEWEST, IN_USE = "challenger", "champion"  # aliases of versions

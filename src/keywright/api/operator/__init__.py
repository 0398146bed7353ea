"""The operator's view: the operations of operators on the keys of all organizations, under `/api/v2/operator/`."""

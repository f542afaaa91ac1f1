"""Training on many machines at once, by what Spark, XGBoost, PyTorch and MLflow have for it."""

"""Estimators in scikit-learn's conventions, trained by the engine of :mod:`fasttrain.nn`."""
from fasttrain.models.linear import LinearRegression, LogisticRegression
from fasttrain.models.mlp import MLPClassifier, MLPRegressor

__all__ = ["LinearRegression", "LogisticRegression", "MLPClassifier", "MLPRegressor"]

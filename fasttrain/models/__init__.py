"""Estimators in scikit-learn's conventions, trained by the engine of :mod:`fasttrain.nn`."""
from fasttrain.models.linear_regression import LinearRegression
from fasttrain.models.logistic_regression import LogisticRegression
from fasttrain.models.mlp import MLPClassifier, MLPRegressor

__all__ = ["LinearRegression", "LogisticRegression", "MLPClassifier", "MLPRegressor"]

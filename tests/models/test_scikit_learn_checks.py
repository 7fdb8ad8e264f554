"""scikit-learn's own checks of estimators."""
import warnings

import pytest

import fasttrain

estimator_checks = pytest.importorskip("sklearn.utils.estimator_checks", reason="needs scikit-learn")

ESTIMATORS = [
    fasttrain.LinearRegression(),
    fasttrain.LinearRegression(alpha=0.1),
    fasttrain.LinearRegression(alpha=0.1, l1_ratio=0.5),
    fasttrain.LinearRegression(solver="adam"),
    fasttrain.LogisticRegression(),
    fasttrain.MLPClassifier(),
    fasttrain.MLPRegressor(),
]


def expected_failures(estimator):
    return {}


with warnings.catch_warnings():
    # the estimators follow the protocol without the base class, which scikit-learn warns of
    warnings.filterwarnings("ignore", "Estimator .* does not inherit from", UserWarning)
    with_checks = estimator_checks.parametrize_with_checks(
        ESTIMATORS, expected_failed_checks=expected_failures
    )


@with_checks
@pytest.mark.filterwarnings(
    # the checks train with few epochs
    "ignore:Maximum iterations:UserWarning",
    "ignore:Estimator .* does not inherit from:UserWarning",
    "ignore:Can't check dok sparse matrix for nan:UserWarning",
)
def test_scikit_learn_check(estimator, check):
    check(estimator)

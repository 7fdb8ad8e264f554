"""Ridge, lasso and elastic net, against scikit-learn's, and the descent along coordinates by itself."""
import warnings

import numpy as np

from benchmarks.harness import QUICK, agree
from fasttrain import LinearRegression, kernels, reference

COVERS = {"coordinate_descent", "coordinate_descent_gram"}

TALL = ((2_000, 50), (1_000, 200)) if QUICK else ((100_000, 100), (20_000, 784))
WIDE = (100, 500) if QUICK else (300, 5_000)
DESCENT = (500, 100) if QUICK else (3_000, 784)
TOL = 1e-4


def problem(n_rows, n_features):
    """Columns that are correlated with those next to them, of which every tenth counts."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, n_features))
    for j in range(1, n_features):
        X[:, j] = 0.8 * X[:, j - 1] + 0.6 * X[:, j]
    coef = np.where(np.arange(n_features) % 10 == 0, rng.standard_normal(n_features), 0.0)
    return X + 1.0, X @ coef + rng.standard_normal(n_rows)


def fit(model, X, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of descents that agree() has seen to be near enough
        return model.fit(X, y)


def pairs(n_rows, n_features):
    """A name, our settings, and a function for scikit-learn's model of the same objective."""

    def ridge():
        from sklearn.linear_model import Ridge

        return Ridge(1.0)

    def elastic_net(l1_ratio):
        def prepare():
            from sklearn.linear_model import ElasticNet

            # what its documentation advises where there are more rows than columns
            return ElasticNet(0.05, l1_ratio=l1_ratio, tol=TOL, precompute=n_rows > n_features)

        return prepare

    return (
        ("ridge", {"alpha": 1.0 / n_rows}, ridge, 1e-9),
        ("lasso", {"alpha": 0.05, "l1_ratio": 1.0, "tol": TOL}, elastic_net(1.0), 0.05),
        ("elastic net", {"alpha": 0.05, "l1_ratio": 0.5, "tol": TOL}, elastic_net(0.5), 0.05),
    )


def model_table(bench, peers, n_rows, n_features):
    X, y = problem(n_rows, n_features)
    table = bench.table(f"LinearRegression with penalties, float64, {n_rows:,} x {n_features:,}")
    for name, settings, make_theirs, tolerance in pairs(n_rows, n_features):

        def prepare(settings=settings, make_theirs=make_theirs, tolerance=tolerance):
            ours, theirs = fit(LinearRegression(**settings), X, y), fit(make_theirs(), X, y)
            agree(ours.coef_, theirs.coef_, tolerance, tolerance * float(np.abs(theirs.coef_).max()))
            return lambda: fit(make_theirs(), X, y)

        table.row(name, lambda settings=settings: fit(LinearRegression(**settings), X, y), peers.sklearn(prepare))


def bench_tall(bench, peers):
    for n_rows, n_features in TALL:
        model_table(bench, peers, n_rows, n_features)


def bench_wide(bench, peers):
    model_table(bench, peers, *WIDE)


def bench_descent(bench, peers):
    X, y = problem(*DESCENT)
    X, y = X - X.mean(axis=0), y - y.mean()
    n_rows, n_features = X.shape
    columns, gram, moments, squares = np.ascontiguousarray(X.T), X.T @ X, y @ X, y @ y
    table = bench.table(f"coordinate descent to a gap of {TOL:g}, float64, {n_rows:,} x {n_features:,}")
    for share in (0.1, 0.01):
        l1 = share * float(np.abs(moments).max())

        def by_gram(module=kernels, l1=l1):
            coef = np.zeros((1, n_features))
            module.coordinate_descent_gram(
                gram, moments[np.newaxis], np.array([squares]), coef, l1=l1, tol=TOL
            )
            return coef[0]

        def by_columns(module=kernels, l1=l1):
            coef = np.zeros((1, n_features))
            module.coordinate_descent(columns, y[np.newaxis], coef, l1=l1, tol=TOL)
            return coef[0]

        def path(l1=l1, **products):
            from sklearn.linear_model import lasso_path

            in_columns = np.asfortranarray(X)

            def call():
                options = {"alphas": [l1 / n_rows], "tol": TOL, "check_input": False, **products}
                return lasso_path(in_columns, y, **options)[1][:, 0]

            agree(by_gram(l1=l1), call(), 0.05, 0.05 * float(np.abs(call()).max()))
            return call

        agree(by_gram(), by_columns(), 0.05, 0.05 * float(np.abs(by_columns()).max()))
        table.row(
            f"Gram matrix, l1 of {share:g} of the largest",
            by_gram,
            peers.reference(lambda by_gram=by_gram: by_gram(reference))
            + peers.sklearn(lambda path=path: path(precompute=gram, Xy=moments)),
        )
        table.row(
            f"columns, l1 of {share:g} of the largest",
            by_columns,
            peers.sklearn(lambda path=path: path(precompute=False)),
        )

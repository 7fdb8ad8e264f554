"""Least squares in float64: of least norm, with an L2 penalty in closed form, and with an L1 penalty too.

All three look at the rows in blocks, centred and times the roots of their weights, so that memory for a few
blocks is all that is needed of what has the size of X.  What a block leaves is either a triangle R, by a QR
decomposition of the block below the triangle of those before it, or its share of the Gram matrix.  R keeps
all digits; the Gram matrix is made several times as fast, and has lost those that its condition number has.

An objective is divided by the total weight S:

    sum of s_i (y_i - x_i w - b)^2 / (2 S) + l1 ||w||_1 + l2 ||w||^2 / 2
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from fasttrain import kernels
from fasttrain.models._linear import Array

# Of a block that is read once: 1 MB stays in a near cache; wide rows are more, so that products take their time.
_BLOCK_ELEMENTS = 1 << 17

# Rows of a triangle that are solved at once.
_SOLVED_ROWS = 64

# Rows whose mean is the first centre.
_HEAD_ROWS = 128

# Up to the first condition number the solution from the Gram matrix has all digits but four; up to the second, a
# correction leaves at most about 1e-5 of the error, so that one of this relative size need not be followed by another.
_GOOD_CONDITION = 1e4
_MOST_CONDITION = 1e10
_LAST_CORRECTION = 1e-9
_MOST_CORRECTIONS = 4


class _Rows:
    """The rows of [X y], less their centre and times the roots of their weights, in blocks that share a buffer.

    The centre starts as the mean of the first rows, and as the value itself of a column that is constant there: what
    is left of a constant column is exactly zero, however large it is, and cannot pass for one of full rank.
    """

    def __init__(self, X: Array, y: Array, sample_weight: Array | None, fit_intercept: bool) -> None:
        self.n_rows, self.n_features = X.shape
        self.n_columns = self.n_features + y.shape[1]
        self._X, self._y = X, y
        self._roots = np.ones(self.n_rows)
        self._weighted = sample_weight is not None
        self.total = float(self.n_rows)
        if sample_weight is not None:
            self._roots = np.sqrt(sample_weight, dtype=np.float64)
            self.total = float(sample_weight.sum(dtype=np.float64))
        self._few = max(_BLOCK_ELEMENTS // self.n_columns, 1024)
        self._fit_intercept = fit_intercept
        self._centre = np.zeros(self.n_columns)
        if fit_intercept:
            first = int(np.argmax(self._roots > 0))
            head = slice(first, first + _HEAD_ROWS)
            rows = np.hstack([X[head], y[head]], dtype=np.float64)[self._roots[head] > 0]
            self._centre = np.where((rows == rows[0]).all(axis=0), rows[0], rows.mean(axis=0))

    def _blocks(self, block_rows: int) -> Iterator[tuple[Array, Array]]:
        """Blocks (n, n_columns) and the roots of their weights (n,)."""
        block_rows = min(self.n_rows, block_rows)
        buffer = np.empty((block_rows, self.n_columns))
        for start in range(0, self.n_rows, block_rows):
            rows = slice(start, min(start + block_rows, self.n_rows))
            block, roots = buffer[: rows.stop - start], self._roots[rows]
            np.subtract(self._X[rows], self._centre[: self.n_features], out=block[:, : self.n_features])
            np.subtract(self._y[rows], self._centre[self.n_features :], out=block[:, self.n_features :])
            if self._weighted:
                block *= roots[:, np.newaxis]
            yield block, roots

    def _move_centre(self) -> None:
        """Make the centre the mean."""
        if self._fit_intercept:
            sums = np.zeros(self.n_columns)
            for block, roots in self._blocks(self._few):
                sums += roots @ block
            self._centre = self._centre + sums / self.total

    def whole(self) -> Array:
        """All centred rows (n_rows, n_columns)."""
        self._move_centre()
        return next(self._blocks(self.n_rows))[0]

    def triangle(self) -> Array:
        """R of the centred rows, or the rows themselves where they are no more than the columns."""
        self._move_centre()
        triangle = np.empty((0, self.n_columns))
        for block, _ in self._blocks(max(4 * self.n_columns, 4096)):
            triangle = np.vstack([triangle, block])
            if triangle.shape[0] > self.n_columns:
                triangle = np.asarray(np.linalg.qr(triangle, mode="r"))
        return triangle

    def gram(self) -> Array:
        """Products of all centred columns (n_columns, n_columns); not finite where they overflow."""
        with np.errstate(over="ignore", invalid="ignore"):
            gram, sums = self._products()
            # A mean within ten standard deviations of the centre costs two digits; one farther off, another pass.
            if self._fit_intercept and (np.square(sums) > 0.99 * self.total * gram.diagonal()).any():
                self._centre = self._centre + sums / self.total
                gram, sums = self._products()
            if self._fit_intercept:
                self._centre = self._centre + sums / self.total
                gram -= np.outer(sums / self.total, sums)
        return gram

    def _products(self) -> tuple[Array, Array]:
        """Of all columns with each other, and with the weights."""
        gram, sums = np.zeros((self.n_columns, self.n_columns)), np.zeros(self.n_columns)
        for block, roots in self._blocks(self._few):
            gram += block.T @ block
            sums += roots @ block
        return gram, sums

    def gradient(self, coef: Array) -> Array:
        """X^T (y - X coef) of the centred rows, (n_features, n_outputs), once the centre is the mean."""
        gradient = np.zeros_like(coef)
        for block, _ in self._blocks(self._few):
            X, y = block[:, : self.n_features], block[:, self.n_features :]
            gradient += X.T @ (y - X @ coef)
        return gradient

    def intercept(self, coef: Array) -> Array:
        intercept: Array = self._centre[self.n_features :] - self._centre[: self.n_features] @ coef
        return intercept


class Solution(NamedTuple):
    """A linear model."""

    coef: Array  # (n_features, n_outputs)
    intercept: Array  # (n_outputs,)


def least_squares(
    X: Array, y: Array, sample_weight: Array | None, *, fit_intercept: bool, rcond: float | None = None
) -> tuple[Solution, int, Array]:
    """Least squares of least norm, the rank and the singular values of the centred X.

    R has the singular values of the whole X and the same solutions.
    """
    rows = _Rows(X, y, sample_weight, fit_intercept)
    n_rows, n_features = X.shape
    if rcond is None:
        rcond = np.finfo(np.float64).eps * max(n_rows, n_features)
        if X.dtype == np.float32:
            rcond = max(rcond, 2 * float(np.finfo(np.float32).eps))
    triangle = rows.triangle()
    coef, _, rank, singular = np.linalg.lstsq(triangle[:, :n_features], triangle[:, n_features:], rcond=rcond)
    return Solution(coef, rows.intercept(coef)), int(rank), singular[: min(n_rows, n_features)]


def ridge(X: Array, y: Array, sample_weight: Array | None, *, fit_intercept: bool, l2: float) -> Solution:
    """Least squares with an L2 penalty: from products of columns or of rows where they are good enough, else from R."""
    rows = _Rows(X, y, sample_weight, fit_intercept)
    penalty = l2 * rows.total
    coef = _ridge_by_columns(rows, penalty) if rows.n_features <= rows.n_rows else _ridge_by_rows(rows, penalty)
    if coef is None:
        coef = _ridge_by_triangle(rows, penalty)
    return Solution(coef, rows.intercept(coef))


def _ridge_by_columns(rows: _Rows, penalty: float) -> Array | None:
    """(X^T X + penalty I) coef = X^T y."""
    gram, n = rows.gram(), rows.n_features
    return _penalised(gram[:n, :n], penalty, gram[:n, n:], rows.gradient)


def _ridge_by_rows(rows: _Rows, penalty: float) -> Array | None:
    """coef = X^T u, (X X^T + penalty I) u = y."""
    whole = rows.whole()
    X, y = whole[:, : rows.n_features], whole[:, rows.n_features :]
    with np.errstate(over="ignore", invalid="ignore"):
        gram = X @ X.T
    dual = _penalised(gram, penalty, y, lambda u: y - X @ (X.T @ u))
    return None if dual is None else X.T @ dual


def _penalised(
    gram: Array, penalty: float, right: Array, remainder: Callable[[Array], Array]
) -> Array | None:
    """(gram + penalty I) u = right, corrected by remainder(u), which is right - gram u from X itself.

    None if that is not enough.  The penalty is added in place.
    """
    np.fill_diagonal(gram, gram.diagonal() + penalty)
    try:
        factor = np.linalg.cholesky(gram)
    except np.linalg.LinAlgError:
        return None
    condition = np.linalg.norm(gram, 1) * _norm_of_inverse(factor)
    if not condition <= _MOST_CONDITION:
        return None
    solution = _solve(factor, right)
    if condition <= _GOOD_CONDITION:
        return solution
    for _ in range(_MOST_CORRECTIONS):
        correction = _solve(factor, remainder(solution) - penalty * solution)
        solution += correction
        if (abs(correction).max(axis=0) <= _LAST_CORRECTION * abs(solution).max(axis=0)).all():
            return solution
    return None


def _solve(factor: Array, right: Array) -> Array:
    """L L^T x = right by substitution, in blocks, since NumPy has no solver for triangles."""
    x = np.array(right)
    starts = range(0, len(factor), _SOLVED_ROWS)
    for start in starts:
        rows = slice(start, start + _SOLVED_ROWS)
        x[rows] = np.linalg.solve(factor[rows, rows], x[rows] - factor[rows, :start] @ x[:start])
    for start in reversed(starts):
        rows, after = slice(start, start + _SOLVED_ROWS), slice(start + _SOLVED_ROWS, None)
        x[rows] = np.linalg.solve(factor[rows, rows].T, x[rows] - factor[after, rows].T @ x[after])
    return x


def _norm_of_inverse(factor: Array) -> float:
    """The largest eigenvalue of (L L^T)^-1, to a small factor: its powers times a vector of no direction."""
    vector = np.random.default_rng(0).normal(size=(len(factor), 1))
    for _ in range(3):
        vector = _solve(factor, vector / np.linalg.norm(vector))
    return float(np.linalg.norm(vector))


def _ridge_by_triangle(rows: _Rows, penalty: float) -> Array:
    """The penalty as rows below R: sqrt(penalty) I, with targets 0."""
    triangle = rows.triangle()
    X, y = triangle[:, : rows.n_features], triangle[:, rows.n_features :]
    basis = None
    if X.shape[0] < rows.n_features:  # then the solution is a combination of the rows
        basis, square = np.linalg.qr(X.T)
        X = square.T
    n = X.shape[1]
    coef: Array = np.linalg.lstsq(
        np.vstack([X, np.sqrt(penalty) * np.eye(n)]), np.vstack([y, np.zeros((n, y.shape[1]))]), rcond=None
    )[0]
    return coef if basis is None else basis @ coef


class Descent(NamedTuple):
    """How coordinate descent ended, for each output."""

    gap: Array
    n_iter: Array
    converged: Array


def elastic_net(
    X: Array,
    y: Array,
    sample_weight: Array | None,
    start: Array,
    *,
    fit_intercept: bool,
    l1: float,
    l2: float,
    tol: float,
    max_iter: int,
    n_threads: int | None,
) -> tuple[Solution, Descent]:
    """Least squares with an L1 penalty and maybe an L2 penalty, from the coefficients `start`.

    By the Gram matrix, or by the columns of X where they are more than the rows.
    """
    rows = _Rows(X, y, sample_weight, fit_intercept)
    n_features = rows.n_features
    coef = np.array(start.T, dtype=np.float64, order="C")
    settings: dict[str, Any] = {
        "l1": l1 * rows.total,
        "l2": l2 * rows.total,
        "tol": tol,
        "max_iter": max_iter,
        "n_threads": n_threads,
    }
    if n_features > rows.n_rows:
        columns = np.ascontiguousarray(rows.whole().T)
        with np.errstate(over="ignore"):
            _check_squares(np.square(columns).sum(axis=1))
        ended = kernels.coordinate_descent(columns[:n_features], columns[n_features:], coef, **settings)
    else:
        gram = rows.gram()
        _check_squares(gram.diagonal())
        ended = kernels.coordinate_descent_gram(
            np.ascontiguousarray(gram[:n_features, :n_features]),
            np.ascontiguousarray(gram[n_features:, :n_features]),
            gram.diagonal()[n_features:].copy(),
            coef,
            **settings,
        )
    gap, n_iter, converged = ended
    return Solution(coef.T, rows.intercept(coef.T)), Descent(gap / rows.total, n_iter, converged)


def _check_squares(squares: Array) -> None:
    if not np.isfinite(squares).all():
        raise ValueError("the squares of X or y are not finite: scale the features and the targets")

"""Coordinate descent in plain NumPy: the specification of :mod:`fasttrain.kernels.coordinates`."""

import numpy as np


def coordinate_descent(columns, targets, coef, *, l1, l2=0.0, tol=1e-4, max_iter=1000, n_threads=None):
    """Minimise ||y - X w||^2 / 2 + l1 ||w||_1 + l2 ||w||^2 / 2 for each output, from X^T X."""
    return coordinate_descent_gram(
        columns @ columns.T, targets @ columns.T, np.square(targets).sum(axis=1), coef,
        l1=l1, l2=l2, tol=tol, max_iter=max_iter,
    )


def coordinate_descent_gram(
    gram, moments, squares, coef, *, l1, l2=0.0, tol=1e-4, max_iter=1000, n_threads=None
):
    """Sweeps over all coordinates, each set to the minimum along it, until the duality gap is small."""
    norms = np.diagonal(gram)
    gap, n_iter = np.zeros(len(coef)), np.zeros(len(coef), dtype=np.int64)
    converged = np.zeros(len(coef), dtype=bool)
    for k, w in enumerate(coef):
        w[norms == 0] = 0.0
        settled = fixed = False
        gap[k] = duality_gap(gram, moments[k], squares[k], w, l1, l2)
        converged[k] = gap[k] <= tol * squares[k]
        while not converged[k] and n_iter[k] < max_iter:
            before = w.copy()
            for j in np.flatnonzero(norms):
                gradient = moments[k, j] - gram[j] @ w + norms[j] * w[j]
                w[j] = np.sign(gradient) * max(abs(gradient) - l1, 0.0) / (norms[j] + l2)
            n_iter[k] += 1
            change = np.abs(w - before).max(initial=0.0)
            settled = change <= tol * np.abs(w).max(initial=0.0)
            fixed = change == 0.0
            gap[k] = duality_gap(gram, moments[k], squares[k], w, l1, l2)
            converged[k] = fixed or (settled and gap[k] <= tol * squares[k])
    return gap, n_iter, converged


def duality_gap(gram, moment, square, w, l1, l2):
    """The smaller of the gaps of two dual problems, at the residual, and at the residual made feasible."""
    correlation = moment - gram @ w  # X^T (y - X w)
    residual = max(square - w @ (moment + correlation), 0.0)  # ||y - X w||^2
    primal = residual / 2 + l1 * np.abs(w).sum() + l2 / 2 * (w @ w)
    # the L2 penalty as rows of X: sqrt(l2) I, with targets 0
    most = np.abs(correlation - l2 * w).max(initial=0.0)
    share = min(1.0, l1 / most) if most > 0 else 1.0
    along = square - w @ moment  # (y - X w) y
    duals = [share * along - share**2 / 2 * (residual + l2 * (w @ w))]
    if l2 > 0:
        beyond = np.maximum(np.abs(correlation) - l1, 0.0)
        duals.append(along - residual / 2 - np.square(beyond).sum() / (2 * l2))
    return primal - max(duals)

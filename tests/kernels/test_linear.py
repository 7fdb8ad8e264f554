"""linear_value_and_grad: the four-point example, the reference, differences, peers, layouts, bad inputs."""

import itertools

import numpy as np
import pytest

from fasttrain import reference
from fasttrain.kernels import linear_value_and_grad
from tests import tolerances
from tests.helpers import DTYPES, SIZES, THREAD_COUNTS, numerical_gradient

LOSSES = ("half_squared_error", "binary_cross_entropy", "cross_entropy")
# (loss, n_outputs), None for a 1-D theta
CASES = [
    ("half_squared_error", None),
    ("half_squared_error", 1),
    ("half_squared_error", 3),
    ("binary_cross_entropy", None),
    ("binary_cross_entropy", 1),
    ("binary_cross_entropy", 5),
    ("cross_entropy", 1),
    ("cross_entropy", 2),
    ("cross_entropy", 10),
    ("cross_entropy", 33),
]


def make_problem(n_rows, n_features, loss, n_outputs, dtype, *, intercept=False, weighted=False, seed=0):
    """X, y, theta and keywords, with scores of about 1."""
    rng = np.random.default_rng([seed, n_rows, n_features])
    X = rng.standard_normal((n_rows, n_features)).astype(dtype)
    shape = (n_features + intercept,) if n_outputs is None else (n_features + intercept, n_outputs)
    theta = (rng.standard_normal(shape) / np.sqrt(max(1, n_features))).astype(dtype)
    y_shape = (n_rows,) if n_outputs is None else (n_rows, n_outputs)
    if loss == "cross_entropy":
        y = rng.integers(0, n_outputs, n_rows)
    elif loss == "binary_cross_entropy":
        y = rng.integers(0, 2, y_shape).astype(dtype)
    else:
        y = rng.standard_normal(y_shape).astype(dtype)
    options = {"loss": loss, "intercept": intercept}
    if weighted:
        options["sample_weight"] = rng.uniform(0.0, 2.0, n_rows).astype(dtype)
        options["sample_weight"][1::5] = 0.0
    return X, y, theta, options


def as_float64(options):
    return {
        name: value.astype(np.float64) if isinstance(value, np.ndarray) else value
        for name, value in options.items()
    }


def assert_matches_reference(X, y, theta, options, value, grad):
    """The value and each element of the gradient are near the reference's in float64.

    The bound is that of a reduction, scaled by the sum of the terms' sizes.  A residual has the error of a
    score, which is a matrix product over the features, so the terms carry that bound too.
    """
    exact = [array.astype(np.float64) if array.dtype.kind == "f" else array for array in (X, y, theta)]
    wide = as_float64(options)
    expected_value, expected_grad = reference.linear_value_and_grad(*exact, **wide)
    X64, y64, theta64 = exact
    dtype = X.dtype
    n_features = X.shape[1]
    columns = theta64.reshape(len(theta64), -1)
    size = np.abs(X64) @ np.abs(columns[:n_features])
    if options.get("intercept"):
        size = size + np.abs(columns[-1])
    targets = np.ones_like(size) if options["loss"] == "cross_entropy" else np.abs(y64.reshape(size.shape))
    weight = wide.get("sample_weight")
    weight = np.ones(len(X)) if weight is None else weight
    scale = 1.0 / weight.sum() if options.get("reduction") == "mean" else 1.0
    rounding = (
        tolerances.RTOL_REDUCTION[dtype]
        + tolerances.RTOL_MATMUL[dtype] * tolerances.matmul_growth(n_features)
        # the losses' exp and log
        + tolerances.ULP_TRANSCENDENTAL * np.finfo(dtype).eps
    )
    # |residual| and |d loss| are at most the sizes of score and target, or 1 for the two entropies
    residual = weight[:, None] * (size + targets + 1.0)
    bound = np.zeros((len(theta64), residual.shape[1]))
    bound[:n_features] = scale * (np.abs(X64).T @ residual)
    if options.get("intercept"):
        bound[-1] = scale * residual.sum(axis=0)
    bound[:n_features] += abs(options.get("l2", 0.0)) * np.abs(columns[:n_features])
    np.testing.assert_array_less(
        np.abs(grad.astype(np.float64) - expected_grad).reshape(bound.shape), rounding * bound + 1e-300
    )
    value_bound = scale * (weight[:, None] * (size + targets + 1.0) ** 2).sum() + abs(expected_value)
    assert abs(value - expected_value) <= rounding * value_bound


# ---- closed form ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_row_by_hand(dtype):
    X = np.array([[2.0, -1.0]], dtype)
    theta = np.array([0.5, 3.0, 1.0], dtype)  # score 2 * 0.5 - 3 + 1 = -1
    y = np.array([2.0], dtype)
    value, grad = linear_value_and_grad(X, y, theta, intercept=True, l2=2.0)
    assert value == 4.5 + 0.25 + 9.0  # 3^2 / 2 + (2 / 2) (0.5^2 + 3^2)
    np.testing.assert_array_equal(grad, np.array([-6.0 + 1.0, 3.0 + 6.0, -3.0], dtype))
    assert grad.dtype == dtype
    assert isinstance(value, float)


@pytest.mark.parametrize("dtype", DTYPES)
def test_zero_theta_by_hand(dtype):
    X = np.array([[1.0, 2.0], [3.0, 4.0]], dtype)
    value, grad = linear_value_and_grad(
        X, np.array([0.0, 1.0], dtype), np.zeros(2, dtype), loss="binary_cross_entropy"
    )
    assert value == pytest.approx(2 * np.log(2), rel=float(4 * np.finfo(dtype).eps))
    np.testing.assert_array_equal(grad, np.array([0.5 - 1.5, 1.0 - 2.0], dtype))
    value, grad = linear_value_and_grad(X, np.array([3, 0]), np.zeros((2, 4), dtype), loss="cross_entropy")
    assert value == pytest.approx(2 * np.log(4), rel=float(4 * np.finfo(dtype).eps))
    np.testing.assert_array_equal(grad, np.array([[1 - 3, 1, 1, 1 - 1], [1.5 - 4, 1.5, 1.5, 1.5 - 2]], dtype))


def test_four_points_descend_as_numpy_does():
    X = np.array([[1.0, 2.0], [2.0, 3.0], [3.0, 4.0], [4.0, 5.0]])
    y = np.array([0.0, 1.0, 1.0, 0.0])
    expected = np.zeros(2)
    for _ in range(1000):
        expected -= 0.01 * X.T @ (X @ expected - y)
    theta, grad = np.zeros(2), np.empty(2)
    for _ in range(1000):
        theta -= 0.01 * linear_value_and_grad(X, y, theta, grad=grad)[1]
    np.testing.assert_allclose(theta, expected, rtol=1e-12)
    np.testing.assert_allclose(theta, [-0.44859943, 0.4617564], rtol=1e-7)


# ---- the reference -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("loss", "n_outputs"), CASES)
@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_matches_reference(loss, n_outputs, dtype, intercept, weighted):
    for reduction, l2 in (("sum", 0.0), ("mean", 0.0), ("sum", 0.7), ("mean", 0.7)):
        X, y, theta, options = make_problem(
            213, 19, loss, n_outputs, dtype, intercept=intercept, weighted=weighted
        )
        options.update(reduction=reduction, l2=l2)
        value, grad = linear_value_and_grad(X, y, theta, **options)
        assert grad.shape == theta.shape
        assert grad.dtype == dtype
        assert_matches_reference(X, y, theta, options, value, grad)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_outputs", [None, 3])
def test_sizes(dtype, n_outputs):
    loss = "half_squared_error"
    for n_rows, n_features in itertools.product(SIZES, (0, 1, 2, 3, 7, 8, 9, 31, 33, 64, 65, 97, 129)):
        X, y, theta, options = make_problem(n_rows, n_features, loss, n_outputs, dtype, intercept=True)
        value, grad = linear_value_and_grad(X, y, theta, **options)
        assert_matches_reference(X, y, theta, options, value, grad)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("n_features", "n_outputs"), [(784, 10), (784, 40), (205, 10), (1025, 2), (9, 300), (30, 2049)]
)
def test_gradients_of_several_ranges(n_features, n_outputs, dtype):
    # the transpose's ranges are features by outputs, of which the last may be short
    X, y, theta, options = make_problem(300, n_features, "cross_entropy", n_outputs, dtype, intercept=True)
    options.update(l2=0.3, reduction="mean")
    results = [linear_value_and_grad(X, y, theta, n_threads=n, **options) for n in THREAD_COUNTS]
    assert_matches_reference(X, y, theta, options, *results[0])
    for value, grad in results[1:]:
        assert value == results[0][0]
        np.testing.assert_array_equal(grad, results[0][1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("n_rows", "n_features", "n_outputs"),
    [
        (70_001, 3, None),  # several pieces, each flushed several times
        (5_001, 130, None),
        (1, 100_003, None),  # folds along a row; one row to a block
        (7, 60_001, None),
        (66, 20_011, None),
        (3_001, 37, 20),
        (40, 3_001, 3),
    ],
)
def test_large_shapes(n_rows, n_features, n_outputs, dtype):
    X, y, theta, options = make_problem(
        n_rows, n_features, "half_squared_error", n_outputs, dtype, intercept=True, weighted=True
    )
    options.update(reduction="mean", l2=0.1)
    value, grad = linear_value_and_grad(X, y, theta, **options)
    assert_matches_reference(X, y, theta, options, value, grad)


def test_long_float32_sums_stay_accurate():
    # A million equal terms: one running sum in float32 would be wrong in the third digit.
    X = np.full((1_000_000, 1), 0.1, np.float32)
    y = np.full(len(X), -0.1, np.float32)
    exact = len(X) * float(X[0, 0]) ** 2
    value, grad = linear_value_and_grad(X, y, np.zeros(1, np.float32))
    assert abs(grad[0] - exact) <= 1e-6 * exact
    assert abs(value - exact / 2) <= 1e-6 * exact


@pytest.mark.parametrize("dtype", DTYPES)
def test_huge_logits(dtype):
    X = np.array([[1e4], [-1e4], [1e4], [-1e4]], dtype)
    y = np.array([1.0, 0.0, 0.0, 1.0], dtype)
    value, grad = linear_value_and_grad(X, y, np.ones(1, dtype), loss="binary_cross_entropy")
    assert value == 2e4
    np.testing.assert_array_equal(grad, np.array([2e4], dtype))
    theta = np.array([[1.0, 0.0, -1.0]], dtype)
    value, grad = linear_value_and_grad(X, np.array([0, 2, 1, 0]), theta, loss="cross_entropy")
    assert value == 3e4
    np.testing.assert_array_equal(grad, np.array([[2e4, -1e4, -1e4]], dtype))


def test_fractional_targets_are_probabilities():
    X, y, theta, options = make_problem(50, 4, "binary_cross_entropy", None, np.float64)
    y = np.linspace(0.0, 1.0, 50)
    value, grad = linear_value_and_grad(X, y, theta, **options)
    assert_matches_reference(X, y, theta, options, value, grad)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nonfinite_x_spreads(bad):
    X, y, theta, options = make_problem(9, 3, "half_squared_error", None, np.float64)
    X[4, 1] = bad
    value, grad = linear_value_and_grad(X, y, theta, **options)
    assert not np.isfinite(value)
    assert np.isnan(grad).any() or np.isinf(grad).any()


# ---- gradients by differences --------------------------------------------------------------------------


@pytest.mark.parametrize(("loss", "n_outputs"), CASES)
@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_gradient_by_differences(loss, n_outputs, intercept, weighted, reduction):
    X, y, theta, options = make_problem(
        12, 3, loss, n_outputs, np.float64, intercept=intercept, weighted=weighted
    )
    for l2 in (0.0, 0.3):
        options.update(reduction=reduction, l2=l2)
        _, grad = linear_value_and_grad(X, y, theta, **options)
        expected = numerical_gradient(lambda t: linear_value_and_grad(X, y, t, **options)[0], theta)
        np.testing.assert_allclose(
            grad, expected, rtol=tolerances.GRADIENT_RTOL, atol=tolerances.GRADIENT_ATOL * max(1, len(X))
        )


# ---- peers ---------------------------------------------------------------------------------------------


def test_scikit_learn_finds_a_zero_of_the_gradient():
    linear_model = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is not installed")
    X, y, _, _ = make_problem(200, 5, "binary_cross_entropy", None, np.float64)
    weight = np.random.default_rng(1).uniform(0.5, 2.0, len(X))
    model = linear_model.LogisticRegression(C=2.0, tol=1e-10, max_iter=1000).fit(X, y, sample_weight=weight)
    theta = np.concatenate([model.coef_[0], model.intercept_])
    _, grad = linear_value_and_grad(
        X, y, theta, loss="binary_cross_entropy", intercept=True, l2=1 / 2.0, sample_weight=weight
    )
    np.testing.assert_allclose(grad, 0.0, atol=1e-5)
    ridge = linear_model.Ridge(alpha=3.0, solver="cholesky").fit(X, X[:, 0] + y, sample_weight=weight)
    theta = np.append(ridge.coef_, ridge.intercept_)
    _, grad = linear_value_and_grad(X, X[:, 0] + y, theta, intercept=True, l2=3.0, sample_weight=weight)
    np.testing.assert_allclose(grad, 0.0, atol=1e-9)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("loss", LOSSES)
def test_torch(loss, reduction):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    X, y, theta, options = make_problem(150, 7, loss, 4, np.float64, intercept=True)
    parameter = torch.tensor(theta, requires_grad=True)
    scores = torch.tensor(X) @ parameter[:-1] + parameter[-1]
    target = torch.tensor(y)
    functional = torch.nn.functional
    if loss == "half_squared_error":
        total = functional.mse_loss(scores, target, reduction="sum") / 2
    elif loss == "binary_cross_entropy":
        total = functional.binary_cross_entropy_with_logits(scores, target, reduction="sum")
    else:
        total = functional.cross_entropy(scores, target, reduction="sum")
    if reduction == "mean":
        total = total / len(X)
    total.backward()
    value, grad = linear_value_and_grad(X, y, theta, reduction=reduction, **options)
    assert value == pytest.approx(total.item(), rel=1e-12)
    np.testing.assert_allclose(grad, parameter.grad.numpy(), rtol=1e-11, atol=1e-12)


# ---- threads -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("loss", "n_outputs"), CASES)
def test_same_bits_for_any_thread_count(loss, n_outputs, dtype):
    X, y, theta, options = make_problem(9_001, 33, loss, n_outputs, dtype, intercept=True, weighted=True)
    options.update(reduction="mean", l2=0.1)
    results = [linear_value_and_grad(X, y, theta, n_threads=n, **options) for n in THREAD_COUNTS]
    for value, grad in results[1:]:
        assert value == results[0][0]
        assert grad.tobytes() == results[0][1].tobytes()


def test_same_bits_when_the_pieces_are_added_on_several_threads():
    X, y, theta, options = make_problem(400, 20_001, "half_squared_error", None, np.float32, intercept=True)
    results = [linear_value_and_grad(X, y, theta, l2=0.1, n_threads=n, **options) for n in THREAD_COUNTS]
    assert_matches_reference(X, y, theta, dict(options, l2=0.1), *results[0])
    for value, grad in results[1:]:
        assert value == results[0][0]
        assert grad.tobytes() == results[0][1].tobytes()


# ---- layouts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_outputs", [None, 3])
def test_layouts_give_the_same_bits(n_outputs, dtype, tmp_path):
    X, y, theta, options = make_problem(301, 13, "half_squared_error", n_outputs, dtype, intercept=True)
    value, grad = linear_value_and_grad(X, y, theta, **options)

    wide = np.full((602, 40), np.nan, dtype)
    strided = wide[::2, 5:18]
    strided[:] = X
    read_only = X.copy()
    read_only.flags.writeable = False
    X.tofile(tmp_path / "x")
    memmap = np.memmap(tmp_path / "x", dtype, "r", shape=X.shape)
    for other in (strided, read_only, memmap):
        other_value, other_grad = linear_value_and_grad(other, y, theta, **options)
        assert other_value == value
        assert other_grad.tobytes() == grad.tobytes()
    if n_outputs is not None:
        wide = np.full((301, 8), np.nan, dtype)
        wide[:, 2:5] = y
        other_value, other_grad = linear_value_and_grad(X, wide[:, 2:5], theta, **options)
        # the losses of rows that lie apart are added up in another order
        assert other_value == pytest.approx(value, rel=tolerances.RTOL_REDUCTION[np.dtype(dtype)])
        assert other_grad.tobytes() == grad.tobytes()


def test_one_output_in_two_dimensions_is_one_output():
    X, y, theta, options = make_problem(300, 13, "half_squared_error", None, np.float32, weighted=True)
    value, grad = linear_value_and_grad(X, y, theta, **options)
    value_2d, grad_2d = linear_value_and_grad(X, y[:, None], theta[:, None], **options)
    assert value_2d == value
    assert grad_2d.shape == (13, 1)
    assert grad_2d.tobytes() == grad.tobytes()


def test_grad_buffer_is_filled_and_returned():
    X, y, theta, options = make_problem(300, 13, "half_squared_error", None, np.float64)
    expected = linear_value_and_grad(X, y, theta, **options)[1]
    before = [array.copy() for array in (X, y, theta)]
    grad = np.full(13, np.nan)
    result = linear_value_and_grad(X, y, theta, grad=grad, **options)[1]
    assert result is grad
    np.testing.assert_array_equal(grad, expected)
    for array, copy in zip((X, y, theta), before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_nothing_is_written_beside_grad():
    X, y, theta, options = make_problem(100, 13, "half_squared_error", 3, np.float32, intercept=True)
    frame = np.full(14 * 3 + 32, 7.0, np.float32)
    linear_value_and_grad(X, y, theta, grad=frame[16:-16].reshape(14, 3), **options)
    assert (frame[:16] == 7.0).all()
    assert (frame[-16:] == 7.0).all()


# ---- empty ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("loss", "n_outputs"), CASES)
def test_no_rows(loss, n_outputs, dtype):
    X, y, theta, options = make_problem(0, 3, loss, n_outputs, dtype, intercept=True)
    value, grad = linear_value_and_grad(X, y, theta, l2=2.0, **options)
    penalised = theta[:3].astype(np.float64)
    assert value == pytest.approx((penalised**2).sum(), rel=1e-12)
    np.testing.assert_array_equal(grad[:3], 2 * theta[:3])
    np.testing.assert_array_equal(grad[3:], 0)
    with pytest.raises(ValueError, match="X has no rows; reduction='mean'"):
        linear_value_and_grad(X, y, theta, reduction="mean", **options)


def test_no_features_and_no_outputs():
    y = np.array([1.0, 2.0, 6.0])
    value, grad = linear_value_and_grad(np.empty((3, 0)), y, np.array([1.0]), intercept=True)
    assert value == (0 + 1 + 25) / 2
    np.testing.assert_array_equal(grad, [-6.0])
    value, grad = linear_value_and_grad(np.empty((3, 0)), y, np.empty(0))
    assert value == (1 + 4 + 36) / 2
    assert grad.shape == (0,)
    value, grad = linear_value_and_grad(np.ones((3, 2)), np.empty((3, 0)), np.empty((2, 0)))
    assert value == 0.0
    assert grad.shape == (2, 0)


# ---- bad input -----------------------------------------------------------------------------------------


def good():
    X, y, theta, _ = make_problem(40, 3, "half_squared_error", None, np.float64)
    return X, y, theta


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"X": [[1.0, 2.0, 3.0]]}, TypeError, "X must be a numpy.ndarray, got list"),
        ({"X": np.ones((40, 3), np.int64)}, TypeError, "X must have dtype float32 or float64, got int64"),
        ({"X": np.ones((40, 3), np.float16)}, TypeError, "X must have dtype float32 or float64, got float16"),
        ({"X": np.ones((40, 3), ">f8")}, ValueError, "X must be aligned and in native byte order"),
        ({"X": np.ones(3)}, ValueError, "X must have 2 dimension"),
        ({"X": np.ones((40, 3), order="F")}, ValueError, r"rows of X .* numpy.ascontiguousarray\(X\)"),
        ({"X": np.ones((40, 6))[:, ::2]}, ValueError, r"rows of X .* numpy.ascontiguousarray\(X\)"),
        ({"X": np.ones((40, 3))[::-1]}, ValueError, r"rows of X .* numpy.ascontiguousarray\(X\)"),
        ({"X": np.broadcast_to(np.ones(3), (40, 3))}, ValueError, r"rows of X .* numpy.ascontiguousarray"),
        ({"y": np.ones(40, np.float32)}, TypeError, "y must have the dtype of X, float64, got float32"),
        ({"y": np.ones(40, np.int64)}, TypeError, "y must have dtype float32 or float64, got int64"),
        ({"y": np.ones(39)}, ValueError, r"y must have shape \(40,\), got \(39,\)"),
        ({"y": np.ones((40, 1))}, ValueError, "y must have 1 dimension"),
        ({"y": np.ones(80)[::2]}, ValueError, r"y must be C-contiguous; numpy.ascontiguousarray\(y\)"),
        ({"theta": np.ones(4)}, ValueError, r"theta must have shape \(3,\), got \(4,\)"),
        ({"theta": np.ones(3), "intercept": True}, ValueError, r"theta must have shape \(4,\), got \(3,\)"),
        ({"theta": np.ones((3, 2, 1))}, ValueError, "theta must have 1 or 2 dimensions"),
        ({"theta": np.ones(6)[::2]}, ValueError, "theta must be C-contiguous"),
        ({"theta": np.ones(3, np.float32)}, TypeError, "theta must have the dtype of X"),
        ({"loss": "hinge"}, ValueError, "loss must be one of 'half_squared_error'.*got 'hinge'"),
        ({"loss": 3}, TypeError, "loss must be one of"),
        ({"reduction": "median"}, ValueError, "reduction must be one of 'sum', 'mean', got 'median'"),
        ({"intercept": 2}, TypeError, "intercept must be True or False, got 2"),
        ({"l2": -1.0}, ValueError, "l2 must be at least 0, got -1.0"),
        ({"l2": np.nan}, ValueError, "l2 must be finite, got nan"),
        ({"l2": "1"}, TypeError, "l2 must be a real number"),
        ({"sample_weight": np.ones(39)}, ValueError, r"sample_weight must have shape \(40,\), got \(39,\)"),
        ({"sample_weight": np.ones(40, np.float32)}, TypeError, "sample_weight must have the dtype of X"),
        ({"sample_weight": np.ones(80)[::2]}, ValueError, "sample_weight must be C-contiguous"),
        (
            {"sample_weight": np.zeros(40), "reduction": "mean"},
            ValueError,
            "sum of sample_weight must be positive for reduction='mean', got 0",
        ),
        ({"grad": np.ones(4)}, ValueError, r"grad must have shape \(3,\), got \(4,\)"),
        ({"grad": np.ones(3, np.float32)}, TypeError, "grad must have the dtype of X"),
        ({"grad": np.ones(6)[::2]}, ValueError, "grad must be C-contiguous"),
        ({"grad": np.broadcast_to(np.ones(3), (3,))}, ValueError, "grad must be writeable"),
        ({"n_threads": 0}, ValueError, "n_threads must be between 1 and 4096, got 0"),
        ({"n_threads": 1.5}, TypeError, "n_threads must be a positive integer"),
    ],
)
def test_bad_arguments(change, error, match):
    X, y, theta = good()
    arguments = {"X": X, "y": y, "theta": theta, **change}
    with pytest.raises(error, match=match):
        linear_value_and_grad(**arguments)


@pytest.mark.parametrize("name", ["X", "y", "theta", "sample_weight"])
def test_grad_must_not_overlap(name):
    X, y, theta = good()
    arguments = {"X": X, "y": y, "theta": theta, "sample_weight": np.ones(40)}
    grad = arguments[name].reshape(-1)[:3]
    with pytest.raises(ValueError, match=f"grad must not overlap {name} in memory"):
        linear_value_and_grad(**arguments, grad=grad)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("row", [0, 1, 777, 29_999])
@pytest.mark.parametrize("weighted", [False, True])
def test_bad_targets_are_named(dtype, row, weighted):
    def check(loss, n_outputs, bad, match):
        X, y, theta, options = make_problem(30_000, 7, loss, n_outputs, dtype, weighted=weighted)
        y[row] = bad
        before = theta.copy()
        for n_threads in THREAD_COUNTS:
            with pytest.raises(ValueError, match=rf"y must be {match} in row {row}$"):
                linear_value_and_grad(X, y, theta, n_threads=n_threads, **options)
        np.testing.assert_array_equal(theta, before)

    check("half_squared_error", None, np.nan, "finite, got nan")
    check("half_squared_error", None, -np.inf, "finite, got -inf")
    check("half_squared_error", 2, np.nan, r"finite, got \[nan nan\]")
    check("binary_cross_entropy", None, 2.0, "from 0 to 1, got 2.0")
    check("binary_cross_entropy", None, np.nan, "from 0 to 1, got nan")
    check("binary_cross_entropy", 2, -1.0, r"from 0 to 1, got \[-1. -1.\]")
    check("cross_entropy", 3, 3, "labels from 0 to 2, got 3")
    check("cross_entropy", 3, -1, "labels from 0 to 2, got -1")
    check("cross_entropy", 3, np.iinfo(np.int64).min, "labels from 0 to 2, got -9223372036854775808")
    check("cross_entropy", 3, np.iinfo(np.int64).max, "labels from 0 to 2, got 9223372036854775807")


@pytest.mark.parametrize("row", [0, 1, 777, 29_999])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -1.0])
@pytest.mark.parametrize("n_outputs", [None, 3])
def test_bad_weights_are_named(row, bad, n_outputs):
    X, y, theta, options = make_problem(30_000, 7, "half_squared_error", n_outputs, np.float32, weighted=True)
    options["sample_weight"][row] = bad
    message = f"sample_weight must be finite and at least 0, got {bad} in row {row}$"
    with pytest.raises(ValueError, match=message):
        linear_value_and_grad(X, y, theta, **options)


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.uint64, bool])
def test_labels_must_be_int64(dtype):
    X, _, _ = good()
    with pytest.raises(TypeError, match=r"y must have dtype int64, got .*; y.astype\(numpy.int64\) converts"):
        linear_value_and_grad(X, np.zeros(40, dtype), np.ones((3, 2)), loss="cross_entropy")


def test_cross_entropy_needs_columns():
    X, _, theta = good()
    message = r"theta must have 2 dimensions for loss='cross_entropy', got shape \(3,\)"
    with pytest.raises(ValueError, match=message):
        linear_value_and_grad(X, np.zeros(40, np.int64), theta, loss="cross_entropy")

"""matmul and the dense layer: against NumPy in float64, by differences, in every layout and thread count."""
import numpy as np
import pytest

from fasttrain import kernels, reference
from fasttrain.kernels.vector_math import ACTIVATIONS
from tests import tolerances
from tests.helpers import DTYPES, SIZES, THREAD_COUNTS, numerical_gradient

# (m, k, n) around tiles, panels, blocks of depth and pieces of every level.
SHAPES = [
    (1, 1, 1), (1, 300, 77), (2, 40, 130), (3, 17, 5), (6, 128, 16), (7, 64, 33), (14, 65, 31), (15, 9, 10),
    (33, 784, 10), (64, 130, 128), (100, 800, 40), (145, 33, 70), (300, 400, 20), (31, 1500, 97), (260, 70, 300),
    (60, 1100, 130), (50, 70, 1800), (400, 90, 1000),
    (401, 130, 70), (50, 512, 200), (64, 128, 784), (32, 1000, 131),
]  # fmt: skip


def error_bound(a, b, dtype):
    """Largest |error| that the tolerance table allows, elementwise."""
    scale = np.abs(a.astype(np.float64)) @ np.abs(b.astype(np.float64))
    return tolerances.RTOL_MATMUL[np.dtype(dtype)] * tolerances.matmul_growth(a.shape[1]) * scale


def assert_product(actual, a, b, extra=0.0):
    exact = a.astype(np.float64) @ b.astype(np.float64) + extra
    bound = error_bound(a, b, actual.dtype) + np.finfo(actual.dtype).eps * np.abs(exact)
    assert actual.shape == exact.shape
    assert np.all(np.abs(actual - exact) <= bound)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("transposed", [(False, False), (True, False), (False, True), (True, True)])
def test_matmul_is_the_product_for_any_thread_count(dtype, shape, transposed):
    m, k, n = shape
    rng = np.random.default_rng(m * 1000 + n)
    a = rng.standard_normal((k, m) if transposed[0] else (m, k)).astype(dtype)
    b = rng.standard_normal((n, k) if transposed[1] else (k, n)).astype(dtype)
    results = [
        kernels.matmul(a, b, transpose_a=transposed[0], transpose_b=transposed[1], n_threads=n_threads)
        for n_threads in THREAD_COUNTS
    ]
    assert_product(results[0], a.T if transposed[0] else a, b.T if transposed[1] else b)
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_matmul_at_sizes_around_vector_widths(dtype):
    rng = np.random.default_rng(1)
    for size in SIZES:
        for m, k, n in ((size, 5, 7), (5, size, 7), (5, 7, size), (size, size, size)):
            a = rng.standard_normal((m, k)).astype(dtype)
            b = rng.standard_normal((k, n)).astype(dtype)
            assert_product(kernels.matmul(a, b), a, b)


def test_matmul_of_integers_is_exact():
    rng = np.random.default_rng(2)
    a = rng.integers(-8, 9, (70, 90)).astype(np.float32)
    b = rng.integers(-8, 9, (90, 50)).astype(np.float32)
    np.testing.assert_array_equal(kernels.matmul(a, b), a @ b)


@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize(("k", "n"), [(11_000, 900), (300, 31_000)])
def test_matmul_packs_a_large_b_in_sections(k, n, transpose_b):
    rng = np.random.default_rng(6)
    a, b = np.float32(rng.integers(-2, 3, (100, k))), np.float32(rng.integers(-2, 3, (k, n)))
    expected = a @ b
    b = np.asfortranarray(b).T if transpose_b else b
    for n_threads in (1, 3):
        result = kernels.matmul(a, b, transpose_b=transpose_b, n_threads=n_threads)
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_matmul_accumulates(dtype):
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((40, 1000)).astype(dtype), rng.standard_normal((1000, 60)).astype(dtype)
    start = rng.standard_normal((40, 60)).astype(dtype)
    out = start.copy()
    assert kernels.matmul(a, b, out, accumulate=True) is out
    assert_product(out, a, b, extra=start.astype(np.float64))


@pytest.mark.parametrize("dtype", DTYPES)
def test_matmul_takes_any_strides(dtype):
    rng = np.random.default_rng(4)
    base = rng.standard_normal((3, 130, 130)).astype(dtype)
    views = [
        base[0, :64, :64], base[0].T[:64, :64], base[0, ::-2, ::2][:64, :64], base[:, 7, :][[0] * 64][:, :64],
        np.asfortranarray(base[1, :64, :64]), base[2, 64:0:-1, 64:0:-1], np.broadcast_to(base[0, 0, :64], (64, 64)),
        np.broadcast_to(base[0, 0, :64, None], (64, 64)),
    ]  # fmt: skip
    for view in views:
        view.flags.writeable = False
    # windows of a series, whose rows overlap
    windows = np.lib.stride_tricks.sliding_window_view(base[0].reshape(-1)[:127], 64)
    for a in [*views, windows, windows.T]:
        for b in [*views, windows, windows.T, rng.standard_normal((300, 64)).astype(dtype).T]:
            assert_product(kernels.matmul(a, b), a, b)
    out = np.zeros((64, 200), dtype)
    kernels.matmul(views[0], views[1], out[:, 50:114])
    assert_product(out[:, 50:114], views[0], views[1])
    assert not out[:, :50].any() and not out[:, 114:].any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_elements_do_not_depend_on_what_is_beside_them(dtype):
    rng = np.random.default_rng(5)
    for k in (90, 800, 1500):
        a, b = rng.standard_normal((450, k)).astype(dtype), rng.standard_normal((k, 130)).astype(dtype)
        whole = kernels.matmul(a, b)
        for rows in (slice(30, 140), slice(40, 66), slice(5, 6), slice(7, 9)):
            np.testing.assert_array_equal(kernels.matmul(a[rows], b), whole[rows])
        for columns in (slice(0, 70), slice(3, 40), slice(9, 10), slice(100, 130)):
            np.testing.assert_array_equal(kernels.matmul(a, b[:, columns]), whole[:, columns])
            turned = np.asfortranarray(b[:, columns])
            np.testing.assert_array_equal(kernels.matmul(np.asfortranarray(a), turned), whole[:, columns])


def test_matmul_of_empty_arrays_follows_numpy():
    for m, k, n in ((0, 3, 4), (3, 0, 4), (3, 4, 0), (0, 0, 0)):
        result = kernels.matmul(np.ones((m, k)), np.ones((k, n)))
        np.testing.assert_array_equal(result, np.zeros((m, n)))
    out = np.ones((2, 2))
    kernels.matmul(np.ones((2, 0)), np.ones((0, 2)), out, accumulate=True)
    np.testing.assert_array_equal(out, np.ones((2, 2)))


def test_matmul_passes_on_nan_and_infinity():
    a = np.array([[1.0, np.nan], [np.inf, 1.0], [1.0, 1.0]])
    b = np.array([[1.0, 0.0], [1.0, 1.0]])
    np.testing.assert_array_equal(kernels.matmul(a, b), np.array([[np.nan, np.nan], [np.inf, np.nan], [2.0, 1.0]]))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda a: kernels.matmul(a.tolist(), a), TypeError, "a must be a numpy.ndarray, got list"),
        (
            lambda a: kernels.matmul(a, a.astype(np.float32)), TypeError,
            "b must have the dtype of a, float64, got float32",
        ),
        (lambda a: kernels.matmul(a.astype(int), a), TypeError, "a must have dtype float32 or float64, got int64"),
        (lambda a: kernels.matmul(a[0], a), ValueError, r"a must have 2 dimension\(s\), got shape \(4,\)"),
        (lambda a: kernels.matmul(a, a[:3]), ValueError, r"a \(4, 4\) and b \(3, 4\) do not fit"),
        (lambda a: kernels.matmul(a, a, np.empty((4, 3))), ValueError, r"out must have shape \(4, 4\), got \(4, 3\)"),
        (lambda a: kernels.matmul(a, a, a), ValueError, "out must not overlap a in memory"),
        (lambda a: kernels.matmul(a.copy(), a, a), ValueError, "out must not overlap b in memory"),
        (lambda a: kernels.matmul(a, a, np.empty((4, 4)).T), ValueError, "the rows of out must be contiguous"),
        (lambda a: kernels.matmul(a, a, accumulate=True), ValueError, "accumulate=True needs out"),
        (lambda a: kernels.matmul(a, a.astype(">f8")), ValueError, "b must be aligned and in native byte order"),
        (lambda a: kernels.matmul(a, a, n_threads=0), ValueError, "n_threads must be between 1 and 4096, got 0"),
        (lambda a: kernels.matmul(a, np.ma.masked_array(a)), TypeError, "b must not be a masked array"),
        (lambda a: kernels.dense_forward(a, a, np.zeros(3)), ValueError, r"bias must have shape \(4,\), got \(3,\)"),
        (lambda a: kernels.dense_forward(a, a, None, activation="swish"), ValueError, "activation must be one of"),
        (lambda a: kernels.dense_backward(a, a, a, activation="relu"), ValueError, "needs output of the forward pass"),
        (lambda a: kernels.dense_backward(a, a, a, activation="gelu"), ValueError, "needs pre_activation"),
        (lambda a: kernels.dense_backward(a, a, a, grad_x=a), ValueError, "grad_x must not overlap grad_output"),
    ],
)
def test_bad_input_is_refused_and_changes_nothing(call, error, message):
    a = np.arange(16.0).reshape(4, 4)
    before = a.copy()
    with pytest.raises(error, match=message):
        call(a)
    np.testing.assert_array_equal(a, before)


def test_read_only_output_is_refused():
    a, out = np.ones((2, 2)), np.zeros((2, 2))
    out.flags.writeable = False
    with pytest.raises(ValueError, match="out must be writeable"):
        kernels.matmul(a, a, out)


# ---- the dense layer ---------------------------------------------------------------------------------------


def layer(dtype, n_rows=37, n_in=50, n_out=29, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n_rows, n_in)).astype(dtype)
    weight = (rng.standard_normal((n_in, n_out)) / np.sqrt(n_in)).astype(dtype)
    return x, weight, rng.standard_normal(n_out).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_dense_layer_agrees_with_its_twin(dtype, activation):
    x, weight, bias = layer(dtype)
    wide = [array.astype(np.float64) for array in (x, weight, bias)]
    pre, wide_pre = np.empty((37, 29), dtype), np.empty((37, 29))
    out = kernels.dense_forward(x, weight, bias, activation=activation, pre_activation=pre)
    wide_out = reference.dense_forward(*wide, activation=activation, pre_activation=wide_pre)
    tolerance = 100 * np.finfo(dtype).eps
    np.testing.assert_allclose(pre, wide_pre, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(out, wide_out, rtol=tolerance, atol=tolerance)
    grad = np.random.default_rng(1).standard_normal(out.shape).astype(dtype)
    results = [
        kernels.dense_backward(grad, x, weight, out, activation=activation, pre_activation=pre, n_threads=n_threads)
        for n_threads in THREAD_COUNTS
    ]
    expected = reference.dense_backward(
        grad.astype(np.float64), wide[0], wide[1], wide_out, activation=activation, pre_activation=wide_pre
    )
    for name, actual, wanted in zip(("x", "weight", "bias"), results[0], expected, strict=True):
        scale = np.abs(wanted).max()
        np.testing.assert_allclose(actual, wanted, rtol=tolerance, atol=tolerance * scale, err_msg=name)
    for result in results[1:]:
        for actual, first in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(actual, first)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_dense_backward_is_the_gradient(activation):
    x, weight, bias = layer(np.float64, 3, 4, 5)
    probe = np.random.default_rng(2).standard_normal((3, 5))

    def objective(x, weight, bias):
        return float((kernels.dense_forward(x, weight, bias, activation=activation) * probe).sum())

    pre = np.empty((3, 5))
    out = kernels.dense_forward(x, weight, bias, activation=activation, pre_activation=pre)
    assert np.abs(pre).min() > 1e-2  # away from kinks
    gradients = kernels.dense_backward(probe, x, weight, out, activation=activation, pre_activation=pre)
    wanted = (
        numerical_gradient(lambda value: objective(value, weight, bias), x),
        numerical_gradient(lambda value: objective(x, value, bias), weight),
        numerical_gradient(lambda value: objective(x, weight, value), bias),
    )
    for actual, expected in zip(gradients, wanted, strict=True):
        np.testing.assert_allclose(
            actual, expected, rtol=tolerances.GRADIENT_RTOL, atol=max(tolerances.GRADIENT_ATOL, 1e-9)
        )


@pytest.mark.parametrize("dtype", DTYPES)
def test_dense_layer_fills_what_it_is_given(dtype):
    x, weight, bias = layer(dtype)
    out, pre = np.empty((37, 29), dtype), np.empty((37, 29), dtype)
    assert kernels.dense_forward(x, weight, bias, out, activation="silu", pre_activation=pre) is out
    grads = np.empty_like(x), np.empty_like(weight), np.empty_like(bias)
    result = kernels.dense_backward(
        out, x, weight, activation="silu", pre_activation=pre, grad_x=grads[0], grad_weight=grads[1], grad_bias=grads[2]
    )
    assert all(actual is given for actual, given in zip(result, grads, strict=True))
    grad_x, grad_weight, _ = kernels.dense_backward(
        out, x, weight, activation="silu", pre_activation=pre, need_grad_x=False
    )
    assert grad_x is None
    np.testing.assert_array_equal(grad_weight, grads[1])


def test_dense_layer_without_rows():
    out = kernels.dense_forward(np.ones((0, 3)), np.ones((3, 2)), np.ones(2), activation="tanh")
    assert out.shape == (0, 2)
    grad_x, grad_weight, grad_bias = kernels.dense_backward(
        out, np.ones((0, 3)), np.ones((3, 2)), out, activation="tanh"
    )
    assert grad_x.shape == (0, 3)
    np.testing.assert_array_equal(grad_weight, np.zeros((3, 2)))
    np.testing.assert_array_equal(grad_bias, np.zeros(2))


def test_bias_gradient_of_many_rows_keeps_its_digits():
    rng = np.random.default_rng(6)
    grad = rng.random((20_000, 3)).astype(np.float32)
    _, _, grad_bias = kernels.dense_backward(grad, np.ones((20_000, 1), np.float32), np.ones((1, 3), np.float32))
    np.testing.assert_allclose(grad_bias, grad.sum(axis=0, dtype=np.float64), rtol=1e-6)


def test_pre_activation_of_one_column_may_have_rows_that_lie_apart():
    # one column of a product with a transposed x is computed as a row; its pre-activation is then a column still
    x = np.asfortranarray(np.arange(12.0).reshape(4, 3))
    frame = np.full((4, 2), 7.0)
    result = kernels.dense_forward(x, np.ones((3, 1)), None, activation="relu", pre_activation=frame[:, :1])
    np.testing.assert_array_equal(result[:, 0], x.sum(axis=1))
    np.testing.assert_array_equal(frame[:, 0], x.sum(axis=1))
    np.testing.assert_array_equal(frame[:, 1], 7.0)

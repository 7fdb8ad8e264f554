"""The engine against its NumPy twin, for any thread count; the trainer's state, errors and limits."""
import numpy as np
import pytest

from fasttrain.kernels import network as engine
from fasttrain.nn import Network, Trainer
from fasttrain.reference.network import train_epoch
from tests.helpers import DTYPES, THREAD_COUNTS

LOSSES = ("cross_entropy", "binary_cross_entropy", "half_squared_error")
# float64 sums differ by their order only; float32 by the rounding of a few dozen steps of Adam.
TOLERANCE = {np.dtype(np.float64): 1e-9, np.dtype(np.float32): 2e-2}


def problem(sizes, loss, dtype, n_rows, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_rows, sizes[0])).astype(dtype)
    y = rng.integers(0, sizes[-1], n_rows) if loss == "cross_entropy" else rng.random((n_rows, sizes[-1])).astype(dtype)
    return X, y, rng.random(n_rows).astype(dtype)


def trained(sizes, activation, loss, dtype, data, n_epochs=2, **settings):
    network = Network(sizes, activation=activation, loss=loss, dtype=dtype)
    network.initialize(3)
    trainer = Trainer(network, seed=5, **settings)
    return network, trainer, [trainer.run_epoch(*data) for _ in range(n_epochs)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    ("sizes", "activation"),
    [
        ((7, 5), "relu"), ((20, 32, 3), "relu"), ((150, 70, 40, 4), "tanh"), ((3, 200, 2), "gelu"),
        ((9, 8, 7, 2), "elu"), ((210, 130, 40, 4), "silu"),
    ],
)
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize(("batch_size", "shuffle"), [(32, True), (50, False), (450, True), (1000, True)])
def test_training_agrees_with_the_twin_for_any_thread_count(
    dtype, loss, sizes, activation, optimizer, batch_size, shuffle
):
    # 9 batches, for which parameters lie in panels; 2 of so many rows that weights are packed at every level; 1
    n_rows = {32: 285, 50: 450, 450: 500, 1000: 157}[batch_size]
    X, y, sample_weight = problem(sizes, loss, dtype, n_rows)
    data = (X, y, sample_weight if batch_size == 32 else None)
    momentum = 0.9 if batch_size == 50 else 0.0
    options = {"momentum": momentum, "nesterov": momentum > 0.0} if optimizer == "sgd" else {}
    results = [
        trained(
            sizes, activation, loss, dtype, data, optimizer=optimizer, learning_rate=0.01, batch_size=batch_size,
            l2=0.3, l2_per_batch=batch_size != 50, shuffle=shuffle, n_threads=n_threads,
            **options,
        )
        for n_threads in THREAD_COUNTS
    ]  # fmt: skip
    network, _, objectives = results[0]
    for other, _, other_objectives in results[1:]:
        np.testing.assert_array_equal(other.parameters, network.parameters)
        assert other_objectives == objectives

    start = Network(sizes, activation=activation, loss=loss, dtype=dtype)
    start.initialize(3)
    weights = [weight.astype(np.float64) for weight in start.weights]
    biases = [bias.astype(np.float64) for bias in start.biases]
    n_moments = 2 if optimizer == "adam" else int(momentum > 0.0)
    moments = [[np.zeros_like(p) for _ in range(n_moments)] for p in [*weights, *biases]]
    settings = {"lr": 0.01, **options}
    step = 0
    for epoch, objective in enumerate(objectives):
        order = engine.permutation(n_rows, seed=5, step=epoch) if shuffle and batch_size < n_rows else np.arange(n_rows)
        wanted, step = train_epoch(
            weights, biases, [layer.activation for layer in network.plan], loss, X.astype(np.float64),
            y if loss == "cross_entropy" else y.astype(np.float64), data[2], order, batch_size, optimizer, moments,
            step, settings, 0.3, batch_size != 50,
        )  # fmt: skip
        assert objective == pytest.approx(wanted, rel=1e-5 if dtype == np.float32 else 1e-10)
    tolerance = TOLERANCE[np.dtype(dtype)]
    for actual, wanted in zip([*network.weights, *network.biases], [*weights, *biases], strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=0, atol=tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
def test_single_rows_a_batch(dtype):
    X, y, _ = problem((4, 6, 3), "cross_entropy", dtype, 20)
    network, trainer, _ = trained((4, 6, 3), "relu", "cross_entropy", dtype, (X, y), batch_size=1, optimizer="sgd")
    assert trainer.step == 40
    assert np.isfinite(network.parameters).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_predictions_do_not_depend_on_neighbours_or_threads(loss):
    X, _, _ = problem((60, 40, 3), loss, np.float32, 300)
    network = Network((60, 40, 3), activation="silu", loss=loss)
    network.initialize(1)
    whole = network.predict(X)
    for n_threads in THREAD_COUNTS:
        np.testing.assert_array_equal(network.predict(X, n_threads=n_threads), whole)
    np.testing.assert_array_equal(network.predict(X[100:131]), whole[100:131])
    np.testing.assert_array_equal(network.predict(X[7:8]), whole[7:8])
    assert network.predict(X[:0]).shape == (0, 3)
    logits = network.decision(X).astype(np.float64)
    if loss == "cross_entropy":
        wanted = np.exp(logits - logits.max(axis=1, keepdims=True))
        wanted /= wanted.sum(axis=1, keepdims=True)
    elif loss == "binary_cross_entropy":
        wanted = 1 / (1 + np.exp(-logits))
    else:
        wanted = logits
    np.testing.assert_allclose(whole, wanted, rtol=2e-6)
    out = np.empty((300, 5), np.float32)[:, 1:4]
    assert network.predict(X, out) is out
    np.testing.assert_array_equal(out, whole)


def test_data_is_read_in_place_and_left_alone():
    X, y, _ = problem((10, 8, 3), "cross_entropy", np.float32, 90)
    wide = np.full((90, 25), np.nan, np.float32)
    wide[:, 5:15] = X
    wide.flags.writeable = y.flags.writeable = False
    network, _, objectives = trained((10, 8, 3), "relu", "cross_entropy", np.float32, (wide[:, 5:15], y), batch_size=16)
    plain, _, wanted = trained((10, 8, 3), "relu", "cross_entropy", np.float32, (X, y), batch_size=16)
    np.testing.assert_array_equal(network.parameters, plain.parameters)
    assert objectives == wanted


def test_evaluate_is_the_weighted_mean_loss():
    X, y, sample_weight = problem((10, 8, 3), "cross_entropy", np.float64, 210)
    network = Network((10, 8, 3), dtype=np.float64)
    network.initialize(0)
    losses = -np.log(network.predict(X)[np.arange(210), y])
    assert network.evaluate(X, y) == pytest.approx(losses.mean(), rel=1e-12)
    wanted = np.average(losses, weights=sample_weight)
    values = [network.evaluate(X, y, sample_weight, n_threads=n_threads) for n_threads in THREAD_COUNTS]
    assert values[0] == pytest.approx(wanted, rel=1e-12)
    assert values[0] == values[1] == values[2]


def test_initialization_is_bounded_and_a_function_of_the_seed():
    network = Network((50, 40, 10))
    network.initialize(1)
    first = network.parameters.copy()
    bound = np.sqrt(6 / 90)
    assert np.abs(network.weights[0]).max() <= bound
    assert np.abs(network.weights[0]).max() > 0.99 * bound
    assert abs(network.weights[0].mean()) < 0.05 * bound
    network.initialize(2)
    assert not np.array_equal(network.parameters, first)
    network.initialize(1)
    np.testing.assert_array_equal(network.parameters, first)


def test_orders_are_permutations_that_differ_by_epoch_and_seed():
    orders = [engine.permutation(1000, seed=seed, step=step) for seed in (0, 1) for step in (0, 1)]
    for order in orders:
        np.testing.assert_array_equal(np.sort(order), np.arange(1000))
    assert all(not np.array_equal(a, b) for i, a in enumerate(orders) for b in orders[:i])
    # every place is taken by every row about equally often
    counts = np.zeros((5, 5))
    for step in range(4000):
        counts[np.arange(5), engine.permutation(5, seed=9, step=step)] += 1
    assert ((counts - 800) ** 2 / 800).sum() < 45  # chi-squared with 16 degrees of freedom: P < 1e-4


def test_generator_gives_the_published_numbers():
    # Philox 4x32-10 with key 0 and counter 0 begins 6627e8d5 e169c58d (known-answer file of Random123);
    # here the counter's fourth word is the stream, so the generator is checked through its own definition in NumPy
    def philox(counter, key):
        x = [int(word) for word in counter]
        k = [int(word) for word in key]
        for _ in range(10):
            p0, p1 = 0xD2511F53 * x[0], 0xCD9E8D57 * x[2]
            x = [(p1 >> 32) ^ x[1] ^ k[0], p1 & 0xFFFFFFFF, (p0 >> 32) ^ x[3] ^ k[1], p0 & 0xFFFFFFFF]
            k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
        return x

    assert philox((0, 0, 0, 0), (0, 0))[:2] == [0x6627E8D5, 0xE169C58D]
    seed = 0x123456789ABCDEF0
    drawn = engine.uniform(np.empty(4), 0.0, 1.0, seed=seed, step=7)
    for position, value in enumerate(drawn):
        x = philox((position, 0, 7, 1), (seed & 0xFFFFFFFF, seed >> 32))
        assert value == ((x[0] << 32 | x[1]) >> 11) * 2.0**-53


def test_a_resumed_training_goes_on_bit_for_bit():
    X, y, _ = problem((10, 8, 3), "cross_entropy", np.float32, 90)
    whole, _, objectives = trained((10, 8, 3), "relu", "cross_entropy", np.float32, (X, y), n_epochs=4, batch_size=16)
    half, trainer, first = trained((10, 8, 3), "relu", "cross_entropy", np.float32, (X, y), n_epochs=2, batch_size=16)
    state = trainer.state_dict()
    network = Network((10, 8, 3))
    network.parameters[...] = half.parameters
    resumed = Trainer(network, seed=5, batch_size=16)
    resumed.load_state_dict(state)
    rest = [resumed.run_epoch(X, y) for _ in range(2)]
    assert first + rest == objectives
    np.testing.assert_array_equal(network.parameters, whole.parameters)
    with pytest.raises(ValueError, match="state must be of rule 'SGD', got 'Adam'"):
        Trainer(network, optimizer="sgd").load_state_dict(state)


# the second so large that it is trained by several threads, its first step by columns
@pytest.mark.parametrize(("sizes", "batch_size"), [((10, 8, 3), 16), ((300, 330, 70, 3), 64)])
def test_a_loss_that_is_not_finite_stops_before_the_update(sizes, batch_size):
    X, y, _ = problem(sizes, "cross_entropy", np.float32, 20 * batch_size)
    X[3 * batch_size + 5] = np.nan
    for n_threads in THREAD_COUNTS:
        network = Network(sizes)
        network.initialize(0)
        trainer = Trainer(network, batch_size=batch_size, shuffle=False, n_threads=n_threads)
        with pytest.raises(ValueError, match="the loss is not finite in epoch 1, step 4"):
            trainer.run_epoch(X, y)
        assert trainer.step == 3
        assert np.isfinite(network.parameters).all()
        clean = Network(sizes)
        clean.initialize(0)
        clean_trainer = Trainer(clean, batch_size=batch_size, shuffle=False)
        clean_trainer.run_epoch(X[:3 * batch_size], y[:3 * batch_size])
        np.testing.assert_array_equal(network.parameters, clean.parameters)
        for name, value in clean_trainer.state_dict().items():
            if name != "epoch":
                np.testing.assert_array_equal(trainer.state_dict()[name], value)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"X": np.zeros((90, 9), np.float32)}, ValueError, r"X must have shape \(any, 10\), got \(90, 9\)"),
        ({"X": np.zeros((90, 10))}, TypeError, "X must have the dtype of parameters, float32, got float64"),
        ({"X": np.zeros((10, 90), np.float32).T}, ValueError, "the rows of X must be contiguous"),
        ({"X": np.zeros((0, 10), np.float32)}, ValueError, "X must have at least one row"),
        ({"y": np.zeros(90, np.int32)}, TypeError, "y must be a numpy.ndarray of int64 labels"),
        ({"y": np.full(90, 3)}, ValueError, "y must hold labels from 0 to 2, got 3 in row 0"),
        ({"y": np.full(90, -1)}, ValueError, "y must hold labels from 0 to 2, got -1 in row 0"),
        ({"y": np.zeros(89, np.int64)}, ValueError, r"y must have shape \(90,\), got \(89,\)"),
        ({"w": np.full(90, -1, np.float32)}, ValueError, "sample_weight must be finite and not negative"),
        ({"w": np.full(90, np.nan, np.float32)}, ValueError, "sample_weight must be finite and not negative"),
    ],
)
def test_bad_data_is_refused_and_changes_nothing(change, error, message):
    X, y, _ = problem((10, 8, 3), "cross_entropy", np.float32, 90)
    network = Network((10, 8, 3))
    network.initialize(0)
    before = network.parameters.copy()
    trainer = Trainer(network)
    with pytest.raises(error, match=message):
        trainer.run_epoch(change.get("X", X), change.get("y", y), change.get("w"))
    np.testing.assert_array_equal(network.parameters, before)
    assert (trainer.epoch, trainer.step) == (0, 0)


def test_targets_that_are_no_numbers_are_refused():
    network = Network((2, 1), loss="half_squared_error", dtype=np.float64)
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="y must not contain NaN or infinity"):
            Trainer(network).run_epoch(np.zeros((3, 2)), np.array([[0.0], [bad], [1.0]]))
    binary = Network((2, 1), loss="binary_cross_entropy", dtype=np.float64)
    with pytest.raises(ValueError, match=r"y must lie in \[0, 1\] for binary_cross_entropy"):
        Trainer(binary).run_epoch(np.zeros((2, 2)), np.array([[0.0], [2.0]]))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Network((3,)), ValueError, "layer_sizes must hold at least two positive sizes"),
        (lambda: Network((3, 0, 2)), ValueError, "layer_sizes must hold at least two positive sizes"),
        (lambda: Network((3, 4, 2), activation="swish"), ValueError, "activation must be one of .* got 'swish'"),
        (lambda: Network((3, 4, 2), activation=("relu", "tanh")), ValueError, "one function per hidden layer"),
        (lambda: Network((3, 2), loss="hinge"), ValueError, "loss must be one of .* got 'hinge'"),
        (lambda: Network((3, 1)), ValueError, "cross_entropy needs at least 2 outputs"),
        (lambda: Network((3, 2), dtype=np.float16), TypeError, "dtype must be float32 or float64, got float16"),
        (lambda: Trainer(Network((3, 2)), optimizer="tiger"), ValueError, "optimizer must be one of .* got 'tiger'"),
        (lambda: Trainer(Network((3, 2)), batch_size=0), ValueError, "batch_size must be at least 1"),
        (lambda: Trainer(Network((3, 2)), learning_rate=np.nan), ValueError, "lr must be finite"),
        (lambda: Trainer(Network((3, 2)), betas=(0.9, 1.0)), ValueError, r"betas\[1\] must be in \[0, 1\)"),
        (lambda: Trainer(Network((3, 2)), seed=-1), ValueError, "seed must lie in"),
    ],
)
def test_bad_settings_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_learning_rate_is_checked_when_it_is_used():
    X, y, _ = problem((10, 3), "cross_entropy", np.float32, 30)
    network = Network((10, 3))
    trainer = Trainer(network)
    for bad, message in ((np.nan, "lr must be finite"), (-1.0, "lr must be at least 0")):
        trainer.learning_rate = bad
        with pytest.raises(ValueError, match=message):
            trainer.run_epoch(X, y)
    assert not network.parameters.any()


def test_biases_can_be_held():
    X, y, _ = problem((10, 3), "cross_entropy", np.float64, 90)
    network = Network((10, 3), dtype=np.float64)
    trainer = Trainer(network, train_biases=False)
    trainer.run_epoch(X, y)
    assert not network.biases[0].any()
    assert network.weights[0].any()

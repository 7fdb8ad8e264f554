"""Every rule in the engine's pass, against its steps taken by hand, and optimizers that the engine does not know."""
import numpy as np
import pytest

from fasttrain import optim
from fasttrain.kernels import network as engine
from fasttrain.nn import Network, Trainer
from fasttrain.nn.trainer import OF_ARRAYS, RULES
from fasttrain.reference.network import batch_objective
from tests.helpers import DTYPES, THREAD_COUNTS

SIZES = (13, 21, 5)
OPTIONS = {
    "sgd": [{}, {"momentum": 0.9, "dampening": 0.3}, {"momentum": 0.9, "nesterov": True, "maximize": True}],
    "adam": [{}, {"amsgrad": True}],
    "nadam": [{}],
    "radam": [{}],
    "adamax": [{}],
    "adagrad": [{"lr_decay": 0.1}],
    "rmsprop": [{}, {"centered": True, "momentum": 0.5}],
    "adadelta": [{}],
    "lion": [{"learning_rate": 1e-3}],
    "adamw": [{"weight_decay": 0.0}],
    "schedule_free_adamw": [{"warmup_steps": 3}],
}
CASES = [(name, options) for name, cases in OPTIONS.items() for options in cases]


def problem(dtype, n_rows=150):
    rng = np.random.default_rng(0)
    return rng.standard_normal((n_rows, SIZES[0])).astype(dtype), rng.integers(0, SIZES[-1], n_rows)


def network_of(dtype):
    network = Network(SIZES, dtype=dtype)
    network.initialize(4)
    return network


def test_every_rule_is_listed():
    assert set(OPTIONS) == set(RULES) - set(OF_ARRAYS)


@pytest.mark.parametrize("name", OF_ARRAYS)
def test_rules_of_whole_arrays_step_each_layers_own(name):
    X, y = problem(np.float64)
    network, by_hand = network_of(np.float64), network_of(np.float64)
    trainer = Trainer(network, optimizer=name, batch_size=32, shuffle=False)
    optimizer = RULES[name]([*by_hand.weights, *by_hand.biases])
    for _ in range(2):
        trainer.run_epoch(X, y)
        for start in range(0, len(X), 32):
            grads = network_of(np.float64)
            grads.parameters[:] = by_hand.value_and_grad(X[start : start + 32], y[start : start + 32])[1]
            optimizer.step([*grads.weights, *grads.biases])
    np.testing.assert_array_equal(network.parameters, by_hand.parameters)


def test_several_optimizers_share_a_network_and_resume():
    X, _ = problem(np.float32, 400)
    y = X[:, : SIZES[-1]].argmax(axis=1)

    def trainer_of(network):
        optimizers = [optim.Muon(network.weights, lr=0.02), optim.AdamW(network.biases, lr=0.01)]
        return Trainer(network, optimizer=optimizers, batch_size=50)

    network, copy = network_of(np.float32), network_of(np.float32)
    trainer, resumed = trainer_of(network), trainer_of(copy)
    losses = [trainer.run_epoch(X, y) for _ in range(10)]
    assert losses[-1] < 0.7 * losses[0]
    copy.parameters[:] = network.parameters
    resumed.load_state_dict(trainer.state_dict())
    assert resumed.run_epoch(X, y) == trainer.run_epoch(X, y)
    np.testing.assert_array_equal(copy.parameters, network.parameters)
    with pytest.raises(ValueError, match="there are 2 optimizers"):
        _ = trainer.learning_rate
    state = trainer.state_dict()
    state["optimizers.1.exp_avg.0"] = np.zeros(3)
    before = resumed.state_dict()
    with pytest.raises((TypeError, ValueError), match=r"exp_avg\.0"):
        resumed.load_state_dict(state)
    for key, value in resumed.state_dict().items():
        np.testing.assert_array_equal(value, before[key])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "options"), CASES)
def test_the_engines_pass_is_the_rule_step_by_step(name, options, dtype):
    X, y = problem(dtype)
    results = []
    for n_threads in THREAD_COUNTS:
        network = network_of(dtype)
        trainer = Trainer(network, optimizer=name, batch_size=16, seed=3, n_threads=n_threads, **options)
        losses = [trainer.run_epoch(X, y) for _ in range(2)]
        results.append((network.parameters.tobytes(), losses))
    assert results[0] == results[1] == results[2]
    assert trainer.step == 20

    by_hand = network_of(dtype)
    options = dict(options)
    if "learning_rate" in options:
        options["lr"] = options.pop("learning_rate")
    optimizer = RULES[name](by_hand.parameters, **options)
    for epoch in range(2):
        order = engine.permutation(len(X), seed=3, step=epoch)
        for start in range(0, len(X), 16):
            rows = order[start : start + 16]
            optimizer.step(by_hand.value_and_grad(X[rows], y[rows])[1])
    # a sign of a gradient of rounding's size may differ
    tolerance = 1e-12 if dtype == np.float64 else 2e-3 if name in ("lion", "adamax", "adam", "nadam") else 2e-4
    np.testing.assert_allclose(network.parameters, by_hand.parameters, rtol=0, atol=tolerance)
    for key, value in optimizer.state_dict().items():
        if isinstance(value, np.ndarray):
            np.testing.assert_allclose(trainer.state_dict()[key], value, rtol=0, atol=tolerance)


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy", "half_squared_error"])
def test_value_and_grad_is_the_twins(loss):
    rng = np.random.default_rng(1)
    X = rng.standard_normal((230, 13))
    y = rng.integers(0, 5, 230) if loss == "cross_entropy" else rng.random((230, 5))
    sample_weight = rng.random(230)
    network = Network(SIZES, activation="tanh", loss=loss, dtype=np.float64)
    network.initialize(2)
    before = network.parameters.copy()
    found = [network.value_and_grad(X, y, sample_weight, n_threads=n_threads) for n_threads in THREAD_COUNTS]
    value, grad = found[0]
    for other in found[1:]:
        assert other[0] == value
        np.testing.assert_array_equal(other[1], grad)
    np.testing.assert_array_equal(network.parameters, before)
    wanted, weights, biases = batch_objective(
        network.weights, network.biases, ["tanh", "identity"], loss, X, y, sample_weight, 0.0
    )
    assert value == pytest.approx(wanted, rel=1e-12)
    whole = np.concatenate([part.ravel() for pair in zip(weights, biases, strict=True) for part in pair])
    np.testing.assert_allclose(grad, whole, rtol=1e-10, atol=1e-13)


def test_value_and_grad_writes_where_it_is_told():
    X, y = problem(np.float32)
    network = network_of(np.float32)
    grad = np.full(network.n_parameters, np.nan, np.float32)
    assert network.value_and_grad(X, y, grad=grad)[1] is grad
    assert np.isfinite(grad).all()
    with pytest.raises(ValueError, match="grad must not overlap parameters"):
        network.value_and_grad(X, y, grad=network.parameters)
    X[3] = np.inf
    assert np.isnan(network.value_and_grad(X, y)[0])


@pytest.mark.parametrize("l2", [0.0, 0.5])
def test_an_optimizer_that_the_engine_does_not_know_takes_its_steps_between_batches(l2):
    X, y = problem(np.float64)
    whole, parts = network_of(np.float64), network_of(np.float64)
    one = Trainer(whole, optimizer="adam", batch_size=16, l2=l2)
    # one optimizer over the layers' own arrays
    arrays = [part for pair in zip(parts.weights, parts.biases, strict=True) for part in pair]
    two = Trainer(parts, optimizer=optim.Adam(arrays), batch_size=16, l2=l2)
    for _ in range(3):
        assert one.run_epoch(X, y) == pytest.approx(two.run_epoch(X, y), rel=1e-12)
    np.testing.assert_allclose(whole.parameters, parts.parameters, rtol=0, atol=1e-12)
    assert one.step == two.step == 30


def test_state_of_8_bits_trains_in_the_engine_and_resumes():
    X, y = problem(np.float32, 400)
    network = network_of(np.float32)
    trainer = Trainer(network, optimizer=optim.AdamW(network.parameters, lr=3e-3, state_dtype="8bit"), batch_size=32)
    first = trainer.run_epoch(X, y)
    for _ in range(20):
        last = trainer.run_epoch(X, y)
    assert last < 0.8 * first
    state, copy = trainer.state_dict(), network_of(np.float32)
    copy.parameters[:] = network.parameters
    resumed = Trainer(copy, optimizer=optim.AdamW(copy.parameters, state_dtype="8bit"), batch_size=32)
    resumed.load_state_dict(state)
    assert resumed.run_epoch(X, y) == trainer.run_epoch(X, y)
    np.testing.assert_array_equal(copy.parameters, network.parameters)


def test_the_general_way_checks_all_data_first_and_holds_biases():
    X, y = problem(np.float32)
    network = network_of(np.float32)
    before = network.parameters.copy()
    trainer = Trainer(
        network, optimizer=optim.Adam([*network.weights, *network.biases]), batch_size=16, shuffle=False,
        train_biases=False,
    )
    bad = y.copy()
    bad[-1] = 7
    with pytest.raises(ValueError, match="y must hold labels from 0 to 4, got 7"):
        trainer.run_epoch(X, bad)
    np.testing.assert_array_equal(network.parameters, before)
    held = [bias.copy() for bias in network.biases]
    trainer.run_epoch(X, y)
    for bias, old in zip(network.biases, held, strict=True):
        np.testing.assert_array_equal(bias, old)
    X[40] = np.nan
    with pytest.raises(ValueError, match="the loss is not finite in epoch 2, step 13"):
        trainer.run_epoch(X, y)
    assert np.isfinite(network.parameters).all()


def test_optimizers_of_other_arrays_and_contradictions_are_refused():
    X, y = problem(np.float32)
    network = network_of(np.float32)
    with pytest.raises(ValueError, match=r"must be parts of network\.parameters"):
        Trainer(network, optimizer=optim.Adam([np.zeros(5, np.float32)])).run_epoch(X, y)
    with pytest.raises(ValueError, match="options belong to an optimizer given by name"):
        Trainer(network, optimizer=optim.Adam(network.parameters), eps=1e-3)
    with pytest.raises(ValueError, match="exclude each other"):
        Trainer(network, optimizer="adam", weight_decay=0.1, l2=0.1).run_epoch(X, y)
    with pytest.raises(ValueError, match="decoupled decay"):
        Trainer(network, optimizer="adamw", weight_decay=0.0, l2=0.1).run_epoch(X, y)


def test_a_decoupled_decay_is_of_the_weights_alone():
    X, y = problem(np.float64)
    network = network_of(np.float64)
    weights, biases = ([part.copy() for part in parts] for parts in (network.weights, network.biases))
    trainer = Trainer(network, optimizer="lion", learning_rate=0.0, weight_decay=0.5)
    trainer.run_epoch(X, y)
    trainer.learning_rate = 1e-30  # steps of no size, and a decay of none
    trainer.run_epoch(X, y)
    for new, old in zip([*network.weights, *network.biases], [*weights, *biases], strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-12)

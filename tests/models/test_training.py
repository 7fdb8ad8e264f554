"""The line of progress, and the state that training carries along."""
import io
import pickle

import numpy as np
import pytest

from fasttrain import MLPClassifier
from fasttrain.models.training import Engine, Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def lines_of(progress, stream, n_epochs):
    for number in range(1, n_epochs + 1):
        progress.epoch(number, 1.0 / number, ("accuracy", 0.5))
    progress.close()
    return stream.getvalue()


def test_about_ten_lines_in_a_pipe():
    stream = io.StringIO()
    lines = lines_of(Progress(True, 100, stream), stream, 95).splitlines()
    assert lines[0] == "epoch   1/100  loss 1.00000  validation accuracy 0.5000"
    assert [int(line.split()[1].split("/")[0]) for line in lines] == [1, *range(10, 100, 10), 95]


def test_one_line_rewritten_on_a_terminal(monkeypatch):
    stream = Terminal()
    text = lines_of(Progress(True, 10, stream), stream, 10)
    assert text.count("\n") == 1
    assert text.startswith("\repoch  1/10")
    assert text.endswith("\repoch 10/10  loss 0.10000  validation accuracy 0.5000\x1b[K\n")
    assert text.count("\r") < 10  # it is not rewritten for every one of many fast epochs


def test_a_line_for_each_epoch_if_asked():
    for stream in (io.StringIO(), Terminal()):
        text = lines_of(Progress(2, 30, stream), stream, 30)
        assert text.count("\n") == 30
        assert "\r" not in text


def test_silence():
    stream = Terminal()
    progress = Progress(False, 10, stream)
    progress.message("nothing")
    assert lines_of(progress, stream, 10) == ""


def test_messages_stand_on_lines_of_their_own():
    stream = Terminal()
    progress = Progress(True, 10, stream)
    progress.epoch(1, 1.0, None)
    progress.message("halved")
    progress.close()
    assert stream.getvalue().endswith("\repoch  1/10  loss 1.00000\x1b[K\nhalved\n")


def test_verbose_fit_tells_why_it_stops(capsys):
    X = np.random.default_rng(0).normal(size=(40, 2))
    settings = {"tol": 10.0, "n_iter_no_change": 2, "random_state": 0, "verbose": True, "solver": "sgd"}
    MLPClassifier((3,), learning_rate="adaptive", learning_rate_init=4e-6, **settings).fit(X, X[:, 0] > 0)
    out = capsys.readouterr().out
    assert "epoch   1/200  loss 0." in out
    assert "tol=10 for 2 consecutive epochs. Setting the learning rate to 8e-07." in out
    assert out.endswith("consecutive epochs. Stopping.\n")


@pytest.mark.parametrize("optimizer", [{"optimizer": "adam"}, {"optimizer": "sgd", "momentum": 0.9}])
def test_engine_is_restored_and_pickled_bit_for_bit(optimizer):
    generator = np.random.default_rng(0)
    X = generator.normal(size=(50, 3))
    y = generator.integers(0, 4, 50)
    engine = Engine(
        {"layer_sizes": (3, 5, 4), "activation": "tanh", "loss": "cross_entropy", "dtype": np.float64}
    )
    engine.network.initialize(0)
    engine.set_trainer({**optimizer, "batch_size": 8, "seed": 1})
    engine.trainer.run_epoch(X, y)
    engine.trainer.learning_rate = 0.005
    copied = pickle.loads(pickle.dumps(engine))
    snapshot = engine.snapshot()
    engine.trainer.run_epoch(X, y)
    expected = engine.network.parameters.copy()
    engine.restore(snapshot)
    for again in (engine, copied):
        assert again.trainer.learning_rate == 0.005
        assert not np.array_equal(again.network.parameters, expected)
        again.trainer.run_epoch(X, y)
        np.testing.assert_array_equal(again.network.parameters, expected)

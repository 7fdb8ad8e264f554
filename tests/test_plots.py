"""The pictures: what is drawn where; and a clear word where matplotlib is missing."""
import sys

import numpy as np
import pytest

from fasttrain import plots


def test_missing_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    for draw in (lambda: plots.learning_curve([1.0, 0.5]), lambda: plots.confusion_matrix([[1, 0], [0, 1]])):
        with pytest.raises(ImportError, match=r"pip install 'fasttrain\[plot\]'"):
            draw()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), "loss must have at least one value"),
        (([1.0, 0.5], [1.0]), "validation_loss must have as many values as loss, 2, got 1"),
        (([1.0, 0.5], None, [1.0]), "validation_score must have as many values as loss, 2, got 1"),
    ],
)
def test_bad_curves(arguments, message):
    with pytest.raises(ValueError, match=message):
        plots.learning_curve(*arguments)


def test_bad_matrices():
    for bad in ([1, 2], [[1, 2]], np.zeros((0, 0))):
        with pytest.raises(ValueError, match="matrix must be square, got shape"):
            plots.confusion_matrix(bad)
    with pytest.raises(ValueError, match="labels must name the 2 classes, got 3"):
        plots.confusion_matrix([[1, 0], [0, 1]], "abc")


def test_learning_curve(tmp_path):
    pytest.importorskip("matplotlib", reason="needs matplotlib")
    loss, validation_loss, score = [1.0, 0.3, 0.01], [1.1, 0.5, 0.4], [0.5, 0.8, 0.9]
    figure = plots.learning_curve(loss, validation_loss, score, title="Here")
    left, right = figure.axes
    assert [line.get_ydata().tolist() for line in left.lines] == [loss, validation_loss]
    assert [line.get_ydata().tolist() for line in right.lines] == [score]
    assert left.lines[0].get_xdata().tolist() == [1, 2, 3]
    assert left.get_yscale() == "log"  # the losses span more than a factor of 20
    assert (left.get_title(), left.get_xlabel()) == ("Here", "epoch")
    assert (left.get_ylabel(), right.get_ylabel()) == ("loss", "validation accuracy")
    assert [text.get_text() for text in figure.legends[0].texts] == [
        "training loss", "validation loss", "validation accuracy",
    ]  # fmt: skip
    figure.savefig(tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert plots.learning_curve([1.0, 0.5]).axes[0].get_yscale() == "linear"
    assert plots.learning_curve([0.5]).axes[0].get_xticks().tolist() == [1]
    assert "matplotlib.pyplot" not in sys.modules or plots.learning_curve([1.0]).number is None


def test_confusion_matrix(tmp_path):
    pytest.importorskip("matplotlib", reason="needs matplotlib")
    figure = plots.confusion_matrix([[8, 2, 0], [0, 0, 0], [1, 0, 3]], ["cat", "dog", "parrot"])
    ax = figure.axes[0]
    np.testing.assert_allclose(ax.images[0].get_array(), [[0.8, 0.2, 0], [0, 0, 0], [0.25, 0, 0.75]])
    texts = {tuple(text.get_position()): text.get_text() for text in ax.texts}
    assert texts == {(0, 0): "8", (1, 0): "2", (1, 1): "0", (0, 2): "1", (2, 2): "3"}  # (column, row)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["cat", "dog", "parrot"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted class", "true class")
    figure.savefig(tmp_path / "matrix.png")
    assert (tmp_path / "matrix.png").read_bytes().startswith(b"\x89PNG")
    assert not plots.confusion_matrix(np.full((100, 100), 10**6)).axes[0].texts  # no room for numbers
    weighted = plots.confusion_matrix([[0.5, 0.123456], [0, 2.0]]).axes[0]
    assert [text.get_text() for text in weighted.texts] == ["0.5", "0.123", "2"]


def test_own_axes():
    figure_module = pytest.importorskip("matplotlib.figure", reason="needs matplotlib")
    figure = figure_module.Figure(layout="constrained")
    left, right = figure.subplots(1, 2)
    assert plots.learning_curve([1.0, 0.5], ax=left) is figure
    assert plots.confusion_matrix([[1, 0], [0, 1]], ax=right) is figure
    assert left.lines
    assert right.images

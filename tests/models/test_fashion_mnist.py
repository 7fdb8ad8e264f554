"""Real data of some size: Fashion-MNIST, where it is at hand."""
import gzip
import warnings
from pathlib import Path

import numpy as np
import pytest

from fasttrain import MLPClassifier
from fasttrain.exceptions import ConvergenceWarning

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "fashion-mnist"


def load(part):
    """Images (n, 784) as float32 in [0, 1], and labels, from the IDX files."""
    with gzip.open(FOLDER / f"{part}-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 784)
    with gzip.open(FOLDER / f"{part}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    return images.astype(np.float32) / 255, labels


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"needs the Fashion-MNIST files in {FOLDER}")
def test_ten_epochs_reach_88_percent():
    X_train, y_train = load("train")
    X_test, y_test = load("t10k")
    scores = []
    for seed in range(3):  # one seed's accuracy varies by 0.003
        model = MLPClassifier(
            (128,), solver="adam", batch_size=128, learning_rate_init=0.002, max_iter=10, random_state=seed
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(X_train, y_train)
        assert model.n_iter_ == 10
        scores.append(model.score(X_test, y_test))
    assert np.mean(scores) >= 0.88

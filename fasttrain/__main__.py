"""The command line: ``fasttrain demo`` and ``fasttrain info``, also as ``python -m fasttrain``."""
from __future__ import annotations

import argparse
import importlib.util
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fasttrain.models import MLPClassifier


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


def _seed(text: str) -> int:
    number = int(text)
    if not 0 <= number < 2**32:
        raise argparse.ArgumentTypeError(f"must lie between 0 and 2**32 - 1, got {number}")
    return number


def _parser() -> argparse.ArgumentParser:
    from fasttrain import __version__

    parser = argparse.ArgumentParser(
        prog="fasttrain", description="Train and evaluate models on CPUs from NumPy arrays."
    )
    parser.add_argument("--version", action="version", version=f"fasttrain {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    demo = commands.add_parser(
        "demo",
        help="train a network on handwritten digits and evaluate it",
        description="Train a network on the embedded 8x8 handwritten digits with a training, a validation "
        "and a test set; print the test report; draw the learning curve and the confusion matrix.",
    )
    demo.add_argument("--seed", type=_seed, default=0, help="of the split, the weights and the shuffles")
    demo.add_argument("--epochs", type=_positive, default=40, help="passes over the training set (40)")
    demo.add_argument("--hidden", type=_positive, nargs="*", default=[128], help="hidden layers (128)")
    demo.add_argument(
        "--output",
        type=Path,
        default=Path("fasttrain-demo"),
        metavar="DIR",
        help="folder for the pictures (./fasttrain-demo)",
    )
    commands.add_parser("info", help="print the CPU level, the threads, the compiler and the versions")
    return parser


def _digits(seed: int) -> list[Any]:
    """Images with pixels in [0, 1], and digits, each in three parts: to train, to validate and to test."""
    from fasttrain.data import load_digits, train_validation_test_split

    images, digits = load_digits(return_X_y=True)
    X = (images / 16).astype("float32")
    parts: list[Any] = train_validation_test_split(X, digits, stratify=digits, random_state=seed)
    return parts


def _model(seed: int, epochs: int, hidden: Sequence[int], *, verbose: bool) -> MLPClassifier:
    from fasttrain.models import MLPClassifier

    return MLPClassifier(
        tuple(hidden),
        batch_size=32,
        learning_rate_init=0.005,
        max_iter=epochs,
        n_iter_no_change=epochs,
        random_state=seed,
        verbose=verbose,
        n_threads=1,  # batches this small leave nothing for a second core
    )


def _demo(seed: int, epochs: int, hidden: Sequence[int], output: Path) -> None:
    from fasttrain.exceptions import ConvergenceWarning, exception_class
    from fasttrain.metrics import classification_report, confusion_matrix

    start = time.perf_counter()
    X_train, X_val, X_test, y_train, y_val, y_test = _digits(seed)
    print(
        f"Handwritten digits, {X_train.shape[1]} pixels each: {len(X_train)} to train, {len(X_val)} to "
        f"validate, {len(X_test)} to test."
    )
    sizes = " - ".join(str(size) for size in (X_train.shape[1], *hidden, 10))
    print(f"Training a network of {sizes} units with Adam, batches of 32 rows:")
    model = _model(seed, epochs, hidden, verbose=True)
    with warnings.catch_warnings():
        # the number of epochs is meant as it is
        warnings.simplefilter("ignore", exception_class(ConvergenceWarning))
        trained_from = time.perf_counter()
        model.fit(X_train, y_train, X_val=X_val, y_val=y_val)
        trained = time.perf_counter() - trained_from
    predicted = model.predict(X_test)
    matrix = confusion_matrix(y_test, predicted)
    print()
    print(f"Test set, {len(y_test)} digits that the training has not seen:")
    print()
    print(classification_report(y_test, predicted, digits=3))
    print("Confusion matrix (rows: true digit, columns: predicted digit):")
    print(_table(matrix.tolist(), [str(label) for label in model.classes_]))
    print()
    print(f"Test accuracy {model.score(X_test, y_test):.4f}")
    print(
        f"Training took {trained:.2f} s for {model.n_iter_} epochs; with data and report "
        f"{time.perf_counter() - start:.2f} s"
    )
    if importlib.util.find_spec("matplotlib") is None:
        print("No pictures, since matplotlib is not installed: pip install 'fasttrain[plot]'")
        return
    from fasttrain import plots

    output.mkdir(parents=True, exist_ok=True)
    for name, figure in (
        (
            "learning-curve.png",
            plots.learning_curve(
                model.loss_curve_,
                model.validation_loss_curve_,
                model.validation_scores_,
                title="Learning curve: handwritten digits",
            ),
        ),
        (
            "confusion-matrix.png",
            plots.confusion_matrix(
                matrix, model.classes_, title=f"Test set: {len(y_test)} handwritten digits"
            ),
        ),
    ):
        figure.savefig(output / name)
        print(f"Wrote {output / name}")


def _table(rows: list[list[int]], names: list[str]) -> str:
    width = max(len(str(value)) for row in rows for value in row)
    width = max(width, *map(len, names)) + 2
    lines = [" " * 4 + "".join(f"{name:>{width}}" for name in names)]
    for name, row in zip(names, rows, strict=True):
        lines.append(f"{name:>4}" + "".join(f"{value or '.':>{width}}" for value in row))
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    if options.command == "info":
        import fasttrain

        fasttrain.show_config()
        return 0
    try:
        _demo(options.seed, options.epochs, options.hidden, options.output)
    except OSError as error:
        print(f"fasttrain demo: cannot write to {options.output}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

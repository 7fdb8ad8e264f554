"""Pictures, with matplotlib (the extra ``plot``), which is imported on the first call.

Each function draws into the axes it is given, or else makes a figure of its own without touching pyplot's
state or choosing a backend, so it works on machines without a screen.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["confusion_matrix", "learning_curve"]

# Colours of Okabe and Ito, told apart by readers who see fewer colours.
_BLUE, _ORANGE, _GREEN, _GREY = "#0072B2", "#D55E00", "#009E73", "#6E6E6E"


def _new_axes(width: float, height: float) -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("fasttrain.plots needs matplotlib: pip install 'fasttrain[plot]'") from error
    return Figure(figsize=(width, height), layout="constrained", dpi=120).add_subplot()


def learning_curve(
    loss: Sequence[float],
    validation_loss: Sequence[float] | None = None,
    validation_score: Sequence[float] | None = None,
    *,
    score_name: str = "validation accuracy",
    title: str = "Learning curve",
    ax: Any = None,
) -> Any:
    """Draw the losses of each epoch, and the validation score on an axis of its own.

    Parameters
    ----------
    loss : sequence of float
        Training loss of each epoch, as ``model.loss_curve_``.
    validation_loss, validation_score : sequence of float, optional
        As ``model.validation_loss_curve_`` and ``model.validation_scores_``.
    score_name : str
    title : str
    ax : matplotlib Axes, optional
        Where to draw; None makes a figure.

    Returns
    -------
    matplotlib.figure.Figure
        ``savefig(path)`` writes it.

    Raises
    ------
    ImportError
        If matplotlib is not installed.

    Examples
    --------
    >>> from fasttrain.plots import learning_curve
    >>> figure = learning_curve([0.9, 0.5, 0.4])  # doctest: +SKIP
    >>> figure.savefig("curve.png")  # doctest: +SKIP
    """
    if len(loss) == 0:
        raise ValueError("loss must have at least one value")
    for name, values in (("validation_loss", validation_loss), ("validation_score", validation_score)):
        if values is not None and len(values) != len(loss):
            raise ValueError(f"{name} must have as many values as loss, {len(loss)}, got {len(values)}")
    if ax is None:
        ax = _new_axes(7.2, 4.2)
    epochs = np.arange(1, len(loss) + 1)
    marker = "o" if len(loss) == 1 else None
    lines = ax.plot(epochs, loss, color=_BLUE, linewidth=1.8, marker=marker, label="training loss")
    shown = [np.asarray(loss, dtype=float)]
    if validation_loss is not None:
        lines += ax.plot(
            epochs, validation_loss, color=_ORANGE, linewidth=1.8, marker=marker, label="validation loss"
        )
        shown.append(np.asarray(validation_loss, dtype=float))
    every = np.concatenate(shown)
    if np.all(every > 0) and every.max() > 20 * every.min():
        ax.set_yscale("log")
    ax.set(xlabel="epoch", ylabel="loss", title=title)
    if len(loss) > 1:
        ax.set_xlim(1, len(loss))
        ax.xaxis.get_major_locator().set_params(integer=True)
    else:
        ax.set_xticks([1])
    ax.grid(color="#E4E4E4", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    if validation_score is not None:
        right = ax.twinx()
        lines += right.plot(
            epochs, validation_score, color=_GREEN, linewidth=1.8, linestyle=(0, (5, 2)), marker=marker,
            label=score_name,
        )  # fmt: skip
        right.set_ylabel(score_name, color=_GREEN)
        right.tick_params(axis="y", colors=_GREEN)
        right.spines[["top", "left"]].set_visible(False)
        right.spines["right"].set_color(_GREEN)
    names = [line.get_label() for line in lines]
    ax.figure.legend(lines, names, loc="outside lower center", ncols=len(lines), frameon=False)
    return ax.figure


def confusion_matrix(
    matrix: ArrayLike,
    labels: Sequence[Any] | NDArray[Any] | None = None,
    *,
    title: str = "Confusion matrix",
    ax: Any = None,
) -> Any:
    """Draw a confusion matrix: counts as text, shares of each true class as shades.

    Parameters
    ----------
    matrix : array-like of shape (n_classes, n_classes)
        Rows are true classes, columns predicted ones, as from :func:`fasttrain.metrics.confusion_matrix`.
    labels : sequence, optional
        Names of the classes; None numbers them from 0.
    title : str
    ax : matplotlib Axes, optional
        Where to draw; None makes a figure.

    Returns
    -------
    matplotlib.figure.Figure
        ``savefig(path)`` writes it.

    Raises
    ------
    ImportError
        If matplotlib is not installed.

    Examples
    --------
    >>> from fasttrain.plots import confusion_matrix
    >>> figure = confusion_matrix([[5, 1], [0, 6]], ["no", "yes"])  # doctest: +SKIP
    """
    counts = np.asarray(matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or counts.shape[0] == 0:
        raise ValueError(f"matrix must be square, got shape {counts.shape}")
    n_classes = counts.shape[0]
    names = [str(label) for label in (range(n_classes) if labels is None else labels)]
    if len(names) != n_classes:
        raise ValueError(f"labels must name the {n_classes} classes, got {len(names)}")
    side = min(max(3.6, 0.5 * n_classes + 1.6), 14.0)
    if ax is None:
        ax = _new_axes(side + 0.9, side)
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.where(totals == 0, 1, totals)
    image = ax.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    cell = 60.0 * side / (n_classes + 2)  # points that a cell has for its text, roughly
    largest = max(len(_cell_text(value)) for value in counts.flat)
    size = min(11.0, 1.15 * cell / max(largest, 2))
    if size >= 4.0:
        for (row, column), value in np.ndenumerate(counts):
            if value == 0 and row != column:
                continue  # empty cells say as much, and let the errors stand out
            ax.text(
                column, row, _cell_text(value), ha="center", va="center", fontsize=size,
                color="white" if shares[row, column] > 0.55 else "#1A1A1A",
            )  # fmt: skip
    ticks = np.arange(n_classes)
    long_names = max(map(len, names)) > 4
    ax.set_xticks(ticks, names, rotation=45 if long_names else 0, ha="right" if long_names else "center")
    ax.set_yticks(ticks, names)
    ax.set_xticks(ticks[:-1] + 0.5, minor=True)
    ax.set_yticks(ticks[:-1] + 0.5, minor=True)
    ax.grid(which="minor", color="#DDDDDD", linewidth=0.8)
    ax.tick_params(which="both", length=0)
    for spine in ax.spines.values():
        spine.set_color(_GREY)
    ax.set(xlabel="predicted class", ylabel="true class", title=title)
    bar = ax.figure.colorbar(image, ax=ax, fraction=0.046, pad=0.03, format=lambda share, _: f"{share:.0%}")
    bar.set_label("share of the true class")
    bar.outline.set_edgecolor(_GREY)
    return ax.figure


def _cell_text(value: Any) -> str:
    return f"{value:d}" if np.issubdtype(type(value), np.integer) else f"{value:.3g}"

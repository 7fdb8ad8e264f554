"""The compiled layer: low-level kernels on NumPy arrays, public and documented.

Each function works in place or into ``out=``, releases the GIL, takes ``n_threads`` where it can use
threads, and never copies or converts an array silently.  Each has a twin of the same name and signature
in :mod:`fasttrain.reference`, in plain NumPy.
"""
from fasttrain.kernels.adafactor import adafactor_update
from fasttrain.kernels.coordinates import coordinate_descent, coordinate_descent_gram
from fasttrain.kernels.detection import box_iou, detection_precision_recall
from fasttrain.kernels.lamb import lamb_update
from fasttrain.kernels.linalg import dense_backward, dense_forward, matmul
from fasttrain.kernels.linear import linear_value_and_grad
from fasttrain.kernels.losses import (
    bce_value_and_grad,
    cross_entropy_value_and_grad,
    half_squared_error_value_and_grad,
    mse_value_and_grad,
    softmax,
)
from fasttrain.kernels.metrics import confusion_matrix
from fasttrain.kernels.muon import muon_update
from fasttrain.kernels.optim import (
    adadelta_update,
    adagrad_update,
    adam_update,
    adamax_update,
    average_update,
    lion_update,
    nadam_update,
    radam_update,
    rmsprop_update,
    schedule_free_update,
    sgd_update,
)
from fasttrain.kernels.probability import binary_probability_loss, class_probability_loss
from fasttrain.kernels.ranking import ranking_curve, ranking_scores
from fasttrain.kernels.regression import regression_loss, regression_moments
from fasttrain.kernels.runtime import available_cpu_levels, cpu_level
from fasttrain.kernels.score_bins import score_bins
from fasttrain.kernels.validation import all_finite
from fasttrain.kernels.vector_math import (
    activation_backward,
    activation_forward,
    erf,
    erfc,
    exp,
    expm1,
    log,
    log1p,
    sigmoid,
    tanh,
)

__all__ = [
    "activation_backward",
    "activation_forward",
    "adadelta_update",
    "adagrad_update",
    "adafactor_update",
    "adam_update",
    "adamax_update",
    "all_finite",
    "available_cpu_levels",
    "average_update",
    "bce_value_and_grad",
    "binary_probability_loss",
    "box_iou",
    "class_probability_loss",
    "confusion_matrix",
    "coordinate_descent",
    "coordinate_descent_gram",
    "cpu_level",
    "cross_entropy_value_and_grad",
    "dense_backward",
    "dense_forward",
    "detection_precision_recall",
    "erf",
    "erfc",
    "exp",
    "expm1",
    "half_squared_error_value_and_grad",
    "lamb_update",
    "linear_value_and_grad",
    "lion_update",
    "log",
    "log1p",
    "matmul",
    "mse_value_and_grad",
    "nadam_update",
    "radam_update",
    "muon_update",
    "ranking_curve",
    "ranking_scores",
    "regression_loss",
    "regression_moments",
    "rmsprop_update",
    "schedule_free_update",
    "score_bins",
    "sgd_update",
    "sigmoid",
    "softmax",
    "tanh",
]

"""The kernels in plain NumPy: the specification that tests and benchmarks compare with."""

from fasttrain.reference.adafactor import adafactor_update
from fasttrain.reference.coordinates import coordinate_descent, coordinate_descent_gram
from fasttrain.reference.detection import box_iou, detection_precision_recall
from fasttrain.reference.lamb import lamb_update
from fasttrain.reference.linalg import dense_backward, dense_forward, matmul
from fasttrain.reference.linear import linear_value_and_grad
from fasttrain.reference.losses import (
    bce_value_and_grad,
    cross_entropy_value_and_grad,
    half_squared_error_value_and_grad,
    mse_value_and_grad,
    softmax,
)
from fasttrain.reference.metrics import confusion_matrix
from fasttrain.reference.muon import muon_update
from fasttrain.reference.optim import (
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
from fasttrain.reference.probability import binary_probability_loss, class_probability_loss
from fasttrain.reference.ranking import ranking_curve, ranking_scores
from fasttrain.reference.regression import regression_loss, regression_moments
from fasttrain.reference.score_bins import score_bins
from fasttrain.reference.validation import all_finite
from fasttrain.reference.vector_math import (
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
    "average_update",
    "bce_value_and_grad",
    "binary_probability_loss",
    "box_iou",
    "class_probability_loss",
    "confusion_matrix",
    "coordinate_descent",
    "coordinate_descent_gram",
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

"""How good predictions are, by scikit-learn's names."""

from fasttrain.metrics.agreement import (
    balanced_accuracy_score,
    class_likelihood_ratios,
    cohen_kappa_score,
    hamming_loss,
    matthews_corrcoef,
    zero_one_loss,
)
from fasttrain.metrics.classification import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    fbeta_score,
    jaccard_score,
    multilabel_confusion_matrix,
    precision_recall_fscore_support,
    precision_score,
    recall_score,
)
from fasttrain.metrics.probability import brier_score_loss, hinge_loss, log_loss, top_k_accuracy_score
from fasttrain.metrics.regression import mean_squared_error, r2_score
from fasttrain.metrics.report import classification_report

__all__ = [
    "accuracy_score",
    "balanced_accuracy_score",
    "brier_score_loss",
    "class_likelihood_ratios",
    "classification_report",
    "cohen_kappa_score",
    "confusion_matrix",
    "f1_score",
    "fbeta_score",
    "hamming_loss",
    "hinge_loss",
    "jaccard_score",
    "log_loss",
    "matthews_corrcoef",
    "mean_squared_error",
    "multilabel_confusion_matrix",
    "precision_recall_fscore_support",
    "precision_score",
    "r2_score",
    "recall_score",
    "top_k_accuracy_score",
    "zero_one_loss",
]

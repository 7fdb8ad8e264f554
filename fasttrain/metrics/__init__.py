"""How good predictions are, by scikit-learn's names."""

from fasttrain.metrics import detection
from fasttrain.metrics.agreement import (
    balanced_accuracy_score,
    class_likelihood_ratios,
    cohen_kappa_score,
    hamming_loss,
    matthews_corrcoef,
    zero_one_loss,
)
from fasttrain.metrics.calibration import calibration_curve, expected_calibration_error
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
from fasttrain.metrics.confusion_state import ConfusionState
from fasttrain.metrics.detection import box_iou
from fasttrain.metrics.intervals import proportion_interval, roc_auc_interval, roc_auc_test
from fasttrain.metrics.probability import brier_score_loss, hinge_loss, log_loss, top_k_accuracy_score
from fasttrain.metrics.ranking import (
    auc,
    average_precision_score,
    det_curve,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)
from fasttrain.metrics.regression import (
    d2_absolute_error_score,
    d2_pinball_score,
    d2_tweedie_score,
    explained_variance_score,
    max_error,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_gamma_deviance,
    mean_pinball_loss,
    mean_poisson_deviance,
    mean_squared_error,
    mean_squared_log_error,
    mean_tweedie_deviance,
    median_absolute_error,
    r2_score,
    root_mean_squared_error,
    root_mean_squared_log_error,
)
from fasttrain.metrics.regression_state import RegressionState
from fasttrain.metrics.relevance import dcg_score, label_ranking_average_precision_score, ndcg_score
from fasttrain.metrics.report import classification_report
from fasttrain.metrics.resampling import BootstrapResult, bootstrap, bootstrap_difference
from fasttrain.metrics.score_state import ScoreState
from fasttrain.metrics.thresholds import (
    best_threshold,
    confusion_matrix_at_thresholds,
    gain_curve,
    ks_statistic,
    lift_curve,
)

__all__ = [
    "BootstrapResult",
    "ConfusionState",
    "RegressionState",
    "ScoreState",
    "accuracy_score",
    "auc",
    "average_precision_score",
    "balanced_accuracy_score",
    "best_threshold",
    "bootstrap",
    "bootstrap_difference",
    "box_iou",
    "brier_score_loss",
    "calibration_curve",
    "class_likelihood_ratios",
    "classification_report",
    "cohen_kappa_score",
    "confusion_matrix",
    "confusion_matrix_at_thresholds",
    "d2_absolute_error_score",
    "d2_pinball_score",
    "d2_tweedie_score",
    "dcg_score",
    "det_curve",
    "expected_calibration_error",
    "detection",
    "explained_variance_score",
    "f1_score",
    "fbeta_score",
    "gain_curve",
    "hamming_loss",
    "hinge_loss",
    "jaccard_score",
    "ks_statistic",
    "label_ranking_average_precision_score",
    "lift_curve",
    "log_loss",
    "matthews_corrcoef",
    "max_error",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_gamma_deviance",
    "mean_pinball_loss",
    "mean_poisson_deviance",
    "mean_squared_error",
    "mean_squared_log_error",
    "mean_tweedie_deviance",
    "median_absolute_error",
    "multilabel_confusion_matrix",
    "ndcg_score",
    "precision_recall_curve",
    "precision_recall_fscore_support",
    "precision_score",
    "proportion_interval",
    "r2_score",
    "recall_score",
    "roc_auc_interval",
    "roc_auc_score",
    "roc_auc_test",
    "roc_curve",
    "root_mean_squared_error",
    "root_mean_squared_log_error",
    "top_k_accuracy_score",
    "zero_one_loss",
]

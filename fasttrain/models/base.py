"""scikit-learn's protocol for estimators, without scikit-learn.

An estimator's parameters are the arguments of its ``__init__``, stored as they come and checked in ``fit``;
what it learns ends with an underscore.  That is all that ``clone``, ``Pipeline`` and ``GridSearchCV`` need.
scikit-learn itself is imported only in ``__sklearn_tags__``, which nothing but scikit-learn calls.

``fit`` works on local values and hands them to ``_replace_fitted`` at its very end, so a fit that fails
leaves the estimator as it was.
"""
from __future__ import annotations

import inspect
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasttrain.exceptions import NotFittedError, exception_class
from fasttrain.models.validation import as_features, check_feature_names, feature_names

# What a fit leaves besides the attributes that end with an underscore.
_PRIVATE_FITTED = ("_engine", "_history", "_labels", "_one_output")


class Estimator:
    """What all estimators share: parameters, representation, checks of X."""

    n_features_in_: int
    feature_names_in_: NDArray[Any]
    _multi_output: ClassVar[bool] = False

    # ---- parameters -----------------------------------------------------------------------------------

    @classmethod
    def _parameters(cls) -> dict[str, inspect.Parameter]:
        signature = inspect.signature(cls.__init__)
        return {name: value for name, value in signature.parameters.items() if name != "self"}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters of this estimator, by name.

        Parameters
        ----------
        deep : bool, default=True
            Without effect, since no parameter is an estimator itself.

        Returns
        -------
        dict
        """
        return {name: getattr(self, name) for name in sorted(self._parameters())}

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name; they are checked by the next ``fit``.

        Parameters
        ----------
        **params
            Names and new values.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For a name that is no parameter; nothing is set then.
        """
        known = self._parameters()
        for name in params:
            if name not in known:
                raise ValueError(
                    f"Invalid parameter {name!r} for estimator {type(self).__name__}. "
                    f"Valid parameters are: {sorted(known)}."
                )
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        changed = [
            f"{name}={getattr(self, name)!r}"
            for name, parameter in self._parameters().items()
            if repr(getattr(self, name, parameter.default)) != repr(parameter.default)
        ]
        return f"{type(self).__name__}({', '.join(changed)})"

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=True, multi_output=self._multi_output),
            input_tags=InputTags(),
        )

    # ---- what is learned --------------------------------------------------------------------------------

    def __sklearn_is_fitted__(self) -> bool:
        return "_engine" in vars(self)

    def _check_fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            raise exception_class(NotFittedError)(
                f"This {type(self).__name__} instance is not fitted yet. "
                "Call 'fit' with appropriate arguments before using this estimator."
            )

    def _replace_fitted(self, fitted: dict[str, Any]) -> None:
        """Take over what a fit has learned, and drop what the last one had."""
        kept = {
            name: value
            for name, value in vars(self).items()
            if not (name in _PRIVATE_FITTED or (name.endswith("_") and not name.startswith("_")))
        }
        self.__dict__ = kept | fitted

    # ---- X ------------------------------------------------------------------------------------------------

    def _check_new_X(self, X: ArrayLike) -> tuple[NDArray[Any], dict[str, Any]]:
        """X of a fit from nothing, in its own float dtype, and the attributes that describe its columns."""
        names = feature_names(X)
        array = as_features(X)
        described: dict[str, Any] = {"n_features_in_": array.shape[1]}
        if names is not None:
            described["feature_names_in_"] = names
        return array, described

    def _described(self) -> dict[str, Any]:
        """The attributes of the fitted model that describe the columns of X."""
        return {key: vars(self)[key] for key in ("n_features_in_", "feature_names_in_") if key in vars(self)}

    def _check_X(
        self, X: ArrayLike, *, described: dict[str, Any] | None = None, dtype: Any = None, name: str = "X"
    ) -> NDArray[Any]:
        """X of a fitted model: the columns it was fitted with, in its dtype.

        `described` stands in for the estimator's own attributes while it is being fitted.
        """
        if described is None:
            described = self._described()
            dtype = vars(self)["_engine"].network.dtype
        check_feature_names(type(self).__name__, feature_names(X), described.get("feature_names_in_"))
        array = as_features(X, dtype=dtype, name=name)
        n_features = described["n_features_in_"]
        if array.shape[1] != n_features:
            raise ValueError(
                f"{name} has {array.shape[1]} features, but {type(self).__name__} is expecting "
                f"{n_features} features as input."
            )
        return array


class Classifier(Estimator):
    """What classifiers share: the score."""

    classes_: NDArray[Any]

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        raise NotImplementedError

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Accuracy of ``predict(X)``; for several labels a row, the share of rows with all of them right.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
        y : array-like of shape (n_rows,) or (n_rows, n_labels)
            True labels.
        sample_weight : array-like of shape (n_rows,), optional

        Returns
        -------
        float
        """
        from fasttrain import metrics

        return float(metrics.accuracy_score(y, self.predict(X), sample_weight=sample_weight))

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags

        tags = super().__sklearn_tags__()
        tags.estimator_type = "classifier"
        tags.classifier_tags = ClassifierTags()
        return tags


class Regressor(Estimator):
    """What regressors share: the score."""

    _multi_output = True

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        raise NotImplementedError

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Coefficient of determination R2 of ``predict(X)``, the mean over the outputs.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
        y : array-like of shape (n_rows,) or (n_rows, n_outputs)
            True values.
        sample_weight : array-like of shape (n_rows,), optional

        Returns
        -------
        float
        """
        from fasttrain import metrics

        return float(metrics.r2_score(y, self.predict(X), sample_weight=sample_weight))

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import RegressorTags

        tags = super().__sklearn_tags__()
        tags.estimator_type = "regressor"
        tags.regressor_tags = RegressorTags()
        return tags


def seed_from(random_state: Any) -> int:
    """The engine's seed, of 0 to 2**63 - 1, for what scikit-learn allows as `random_state`."""
    if random_state is None:
        # NumPy's global generator, so that numpy.random.seed(n) makes a run repeatable
        return int(np.random.randint(0, 2**63 - 1, dtype=np.int64))
    if isinstance(random_state, (int, np.integer)) and not isinstance(random_state, bool):
        if not 0 <= random_state < 2**63:
            raise ValueError(f"random_state must lie between 0 and 2**63 - 1, got {random_state}")
        return int(random_state)
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(0, 2**63 - 1, dtype=np.int64))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(0, 2**63 - 1))
    raise ValueError(
        "random_state must be None, an integer, a numpy.random.RandomState or a numpy.random.Generator, "
        f"got {random_state!r}"
    )

"""Data to train and evaluate on: the embedded digits, and splits of any data."""
from fasttrain.data.digits import Digits, load_digits
from fasttrain.data.splits import train_test_split, train_validation_test_split

__all__ = ["Digits", "load_digits", "train_test_split", "train_validation_test_split"]

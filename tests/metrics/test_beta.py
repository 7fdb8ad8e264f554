"""The beta distribution's function and quantiles: closed forms, exact sums, scipy."""

import numpy as np
import pytest

from fasttrain.metrics._beta import beta_quantile

special = pytest.importorskip("scipy.special", reason="compares with scipy")

# (a, b, tail, x, 1 - x): for whole a and b the function is a sum of binomial probabilities, which was added term by
# term with 40 digits, and solved for x by Newton's method
EXACT = [
    (500_000_000, 500_000_001, 0.025, 0.49996900974842228227, 0.50003099025157771773),
    (4_413_423, 61_377_050, 0.005, 0.06700359094618438007, 0.93299640905381561993),
    (108_600_575, 858_111_498, 1e-12, 0.11226871309835066914, 0.88773128690164933086),
    (764_359_461, 4, 0.025, 0.99999998852990844022, 1.1470091559783121636e-8),
    (3, 999_999_998, 0.25, 1.7272994180960371719e-9, 0.9999999982727005819),
    (12_345, 987_654_321, 1e-06, 0.000011971689888669528316, 0.99998802831011133047),
    (250_000, 50, 0.025, 0.99974093655888482232, 0.0002590634411151776841),
]


def many_values(largest):
    rng = np.random.default_rng(0)
    return np.round(10 ** rng.uniform(0, np.log10(largest), (2, 3000)))


@pytest.mark.parametrize(("a", "b", "tail", "x", "complement"), EXACT)
def test_quantiles_of_huge_counts(a, b, tail, x, complement):
    found = beta_quantile(tail, [a], [b])
    np.testing.assert_allclose(np.ravel(found), [x, complement], rtol=2e-15)


@pytest.mark.parametrize("tail", [0.5, 0.025, 1e-3, 1e-10, 1e-200])
def test_quantiles_where_a_or_b_is_one(tail):
    """I_x(1, b) = 1 - (1 - x)^b and I_x(a, 1) = x^a."""
    other = np.array([1.0, 2.0, 3.0, 10.0, 1e3, 1e6, 1e9])
    x, complement = beta_quantile(tail, np.ones(7), other)
    np.testing.assert_allclose(x, -np.expm1(np.log1p(-tail) / other), rtol=1e-13)
    np.testing.assert_allclose(complement, np.exp(np.log1p(-tail) / other), rtol=1e-13)
    x, complement = beta_quantile(tail, other, np.ones(7))
    np.testing.assert_allclose(x, np.exp(np.log(tail) / other), rtol=1e-13)
    np.testing.assert_allclose(complement, -np.expm1(np.log(tail) / other), rtol=1e-13)


# beyond these sizes scipy's own errors, seen beside the exact sums above, are more than 1e-12
@pytest.mark.parametrize(("tail", "largest"), [(0.5, 1e9), (0.025, 1e9), (0.005, 1e6), (1e-6, 1e5), (1e-12, 1e5)])
def test_quantiles_against_scipy(tail, largest):
    a, b = many_values(largest)
    np.testing.assert_allclose(beta_quantile(tail, a, b)[0], special.betaincinv(a, b, tail), rtol=1e-12)


def test_broken_counts():
    a, b = many_values(1e3) + np.random.default_rng(1).random((2, 3000))
    np.testing.assert_allclose(beta_quantile(0.025, a, b)[0], special.betaincinv(a, b, 0.025), rtol=1e-12)


def test_quantiles_are_found_block_by_block():
    a, b = many_values(1e6)
    whole = np.array(beta_quantile(0.025, a, b))
    np.testing.assert_allclose(whole[:, 700:710], beta_quantile(0.025, a[700:710], b[700:710]), rtol=1e-14)
    assert beta_quantile(0.025, [], [])[0].shape == (0,)

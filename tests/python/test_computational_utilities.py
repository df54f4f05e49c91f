"""v1's numbers and losses: against the real BayesFlow v1, and against formulas where v1 is wrong."""

import math
import os
from pathlib import Path

import numpy as np
import pytest

import bayesflow_cpp as bf

cu, losses = bf.computational_utilities, bf.losses
FOLDER = Path(os.environ.get("BAYESFLOW_REFERENCE_DIR") or Path(__file__).parents[1] / "reference" / "data")


def reference(name):
    h5py = pytest.importorskip("h5py")
    path = FOLDER / f"{name}.h5"
    if not path.exists():
        pytest.skip(f"no reference numbers in {FOLDER}")
    out = {}
    with h5py.File(path) as file:
        file.visititems(lambda key, item: out.update({key: np.asarray(item)}) if isinstance(item, h5py.Dataset) else None)
    return out


def near(got, want, tolerance=1e-6):
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * max(1, np.abs(want).max()))


def test_draws_as_v1():
    ref = reference("diagnostics_numbers")
    post, prior = ref["inputs/posterior_draws"], ref["inputs/prior_draws"]
    near(cu.posterior_calibration_error(post, prior), ref["numbers/posterior_calibration_error"])
    near(cu.aggregated_rmse(prior, post), ref["numbers/aggregated_rmse"])
    near(cu.get_coverage_probs(ref["inputs/ecdf_points"], ref["inputs/ecdf_uniforms"]), ref["numbers/coverage_probs"])
    out = bf.diagnostics.recovery(post, prior)
    near([e.value for e in out.r2], ref["numbers/recovery_r2"])
    near([e.value for e in out.r], ref["numbers/recovery_r"])
    near(bf.diagnostics.z_score_contraction(post, prior).contraction, ref["numbers/contraction"])
    np.testing.assert_array_equal(bf.diagnostics.sbc_ranks(post, prior).ranks, ref["numbers/sbc_ranks"])


def test_model_probabilities_as_v1():
    ref = reference("diagnostics_numbers")
    error, frequency, prediction = cu.expected_calibration_error(ref["inputs/model_indices"], ref["inputs/model_probabilities"])
    near(error, ref["numbers/expected_calibration_error"])
    for k in range(3):
        near(frequency[k], ref[f"numbers/calibration_frequency_{k}"])
        near(prediction[k], ref[f"numbers/calibration_mean_prediction_{k}"])


def test_losses_as_v1():
    ref = reference("losses_numbers")
    x, y, z, ldj = (ref[f"inputs/{n}"] for n in ("source", "target", "z", "log_det_J"))
    for kernel in ("gaussian", "inverse_multiquadratic"):
        want = ref[f"outputs/maximum_mean_discrepancy_{kernel}"]
        near(cu.maximum_mean_discrepancy(x, y, kernel), want, 2e-5)
        near(cu.mmd_kernel(x, y, getattr(cu, kernel + "_kernel_matrix")), want, 2e-5)
    # v1 leaves the densities' constants out.
    near(losses.kl_latent_space_gaussian(z, ldj), ref["outputs/kl_latent_space_gaussian"] + 2 * math.log(2 * math.pi))
    near(losses.kl_latent_space_student(3.0, z, ldj), ref["outputs/kl_latent_space_student_v3"] + 2 * math.log(math.pi))
    one_hot, alpha, p = (ref[f"inputs/{n}"] for n in ("one_hot", "concentrations", "probabilities"))
    near(losses.kl_dirichlet(one_hot, alpha), ref["outputs/kl_dirichlet"])
    for tag, smoothing in (("none", None), ("0.01", 0.01)):
        near(losses.log_loss(one_hot, p, label_smoothing=smoothing), ref[f"outputs/log_loss_smoothing_{tag}"])
        near(losses.log_loss(one_hot, alpha, True, smoothing), ref[f"outputs/log_loss_evidential_smoothing_{tag}"])


def test_kernels(rng):
    x, y = rng.normal(size=(4, 2)), rng.normal(size=(3, 2))
    bandwidths = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1, 5, 10, 15, 20, 25, 30, 35, 100, 1e3, 1e4, 1e5, 1e6]
    for function in (cu.gaussian_kernel_matrix, cu.inverse_multiquadratic_kernel_matrix):
        assert function(x, y).shape == (4, 3)
        np.testing.assert_allclose(function(x, y), function(x, y, bandwidths), atol=1e-6)
        np.testing.assert_allclose(np.diag(function(x, x)), 19)
        with pytest.raises(bf.exceptions.ShapeError, match="equally many columns"):
            function(x, y[:, :1], [1.0])


def test_the_unbiased_estimate_leaves_the_diagonal_out(rng):
    x, y = rng.normal(size=(6, 2)), rng.normal(size=(5, 2))
    k = cu.gaussian_kernel_matrix
    want = sum(k(x, x)[i, j] for i in range(6) for j in range(6) if i != j) / 30
    want += sum(k(y, y)[i, j] for i in range(5) for j in range(5) if i != j) / 20 - 2 * k(x, y).mean()
    assert cu.mmd_kernel_unbiased(x, y, k) == pytest.approx(want)
    assert cu.mmd_kernel_unbiased(x, y, k) == pytest.approx(bf.diagnostics.mmd(x, y, "gaussian", permutations=0).unbiased.value)
    with pytest.raises(bf.exceptions.ShapeError, match="at least two rows"):
        cu.mmd_kernel_unbiased(x[:1], y, k)


def test_calibration_error_by_other_aggregators(rng):
    post, prior = rng.normal(size=(50, 40, 2)), rng.normal(size=(50, 2))
    errors = cu.posterior_calibration_error(post, prior, aggregator_fun=None)
    assert errors.shape == (20, 2)
    level = np.linspace(0.005, 0.995, 20)[10]
    low, high = np.quantile(post, [(1 - level) / 2, (1 + level) / 2], axis=1)
    np.testing.assert_allclose(errors[10], np.abs(((low <= prior) & (prior <= high)).mean(0) - level))
    np.testing.assert_allclose(cu.posterior_calibration_error(post, prior, aggregator_fun=np.max), errors.max(0))


def test_bands_hold_what_they_promise(rng):
    alpha, z, low, high = cu.simultaneous_ecdf_bands(50, num_points=20)
    assert alpha == pytest.approx(0.05) and z.shape == low.shape == high.shape == (20,) and z[0] == 1e-5
    u = rng.uniform(size=(4000, 50))
    ecdf = (u[:, None] <= z[:, None]).mean(-1)
    inside = ((ecdf >= low) & (ecdf <= high)).all(1).mean()
    assert 0.94 < inside < 0.99


def test_errors_of_estimates():
    assert cu.mean_squared_error([1.0, 2.0], [[1.0, 4.0], [3.0, 2.0]]) == 2
    assert cu.root_mean_squared_error(1.0, [3.0, -1.0]) == 2
    truths, draws = np.zeros((2, 1)), np.array([[[1.0], [1.0]], [[3.0], [3.0]]])
    assert cu.aggregated_rmse(truths, draws) == 2
    assert cu.aggregated_error(truths, draws, cu.mean_squared_error, np.max) == 9
    with pytest.raises(bf.exceptions.ShapeError, match="equally many data sets"):
        cu.aggregated_error(truths, draws[:1])


def test_classifier_test(rng):
    x, y = rng.normal(size=(100, 2)), rng.normal(size=(100, 2)) + 3
    assert cu.c2st(x, y) > 0.95
    assert cu.c2st(x, y, aggregate_output=False).shape == (5,)
    with pytest.raises(bf.exceptions.ShapeError):
        cu.c2st(x, y[:, :1])
    with pytest.raises(bf.exceptions.ConfigurationError, match="scoring"):
        cu.c2st(x, y, scoring="roc_auc")


def test_jacobian_trace(rng):
    matrix = rng.normal(size=(3, 3))
    for shape in ((5, 3), (5, 4, 3)):
        x = rng.normal(size=shape) * 10
        outputs, trace = cu.compute_jacobian_trace(lambda at: np.sin(at) @ matrix + at**3, x)
        np.testing.assert_array_equal(outputs, np.sin(x) @ matrix + x**3)
        np.testing.assert_allclose(trace, (np.cos(x) * np.diag(matrix) + 3 * x**2).sum(-1), rtol=1e-10)
    # A flow of one affine coupling, which is the identity but for act norm, has the trace of its dimensions; float32.
    flow = bf.networks.InvertibleNetwork(2, 1, permutation=None)
    np.testing.assert_allclose(cu.compute_jacobian_trace(lambda z, condition: flow(z, condition)[0], rng.normal(size=(4, 2)), condition=np.ones((4, 1)))[1], 2, atol=1e-4)
    with pytest.raises(bf.exceptions.ShapeError, match=r"function must return an array of the shape of its inputs, \(5, 2\); got \(5,\)"):
        cu.compute_jacobian_trace(lambda at: at.sum(-1), np.zeros((5, 2)))
    with pytest.raises(bf.exceptions.ConfigurationError, match="function must be a function of an array like inputs"):
        cu.compute_jacobian_trace(None, x)


def test_latent_losses_are_densities():
    # At the mode of one latent: minus the log density there.
    assert losses.kl_latent_space_gaussian([[0.0]], [0.0]) == pytest.approx(0.5 * math.log(2 * math.pi))
    assert losses.kl_latent_space_student(1.0, [[0.0]], [0.0]) == pytest.approx(math.log(math.pi))  # Cauchy
    with pytest.raises(bf.exceptions.ShapeError, match="log_det_J"):
        losses.kl_latent_space_gaussian(np.zeros((3, 2)), np.zeros(2))


def test_other_losses(rng):
    assert losses.norm_diff([1.0, 2.0], [4.0, 6.0]) == 5
    np.testing.assert_allclose(losses.norm_diff([[1.0, 2.0]], [[4.0, 6.0]], axis=1, ord=1), [7])
    assert losses.kl_dirichlet([[1.0, 0.0]], [[5.0, 1.0]]) == pytest.approx(0, abs=1e-12)  # only the true model has evidence
    assert losses.mmd_summary_space(rng.normal(size=(200, 3))) < losses.mmd_summary_space(rng.normal(size=(200, 3)) + 3)
    assert losses.mmd_summary_space(np.ones((5, 2)), z_dist=np.ones) == pytest.approx(0, abs=1e-9)

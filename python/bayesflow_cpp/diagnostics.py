"""Can this posterior be trusted? Functions without "plot_" return the numbers, functions with it draw them as a matplotlib Figure.

    post = amortizer.sample(test_sims, 1000)
    bf.diagnostics.verdict(post, test_sims["parameters"]).sentence
    fig = bf.diagnostics.plot_sbc_ecdf(post, test_sims["parameters"], difference=True)
"""

from ._absent import VERSION_2, absent
from ._figures_calibration import (
    plot_coverage,
    plot_lc2st,
    plot_recovery,
    plot_sbc_ecdf,
    plot_sbc_histograms,
    plot_tarp,
    plot_two_level_recovery,
    plot_two_level_sbc,
    plot_z_score_contraction,
)
from ._figures_models import plot_calibration_curves, plot_confusion_matrix
from ._figures_pairs import plot_latent_space_2d, plot_posterior_2d, plot_prior2d
from ._figures_predictive import plot_posterior_predictive, plot_predictive_bands, plot_pushforward
from ._figures_training import plot_losses, plot_mmd_hypothesis_test
from ._numbers import (
    c2st,
    calibration_curves,
    confusion_matrix,
    coverage,
    expected_calibration_error,
    joint_test,
    kde,
    latent_normality,
    lc2st,
    log_score,
    losses,
    median_abs_deviation,
    mmd,
    mmd_hypothesis_test,
    model_verdict,
    pairs,
    posterior_2d,
    posterior_predictive,
    pushforward,
    recovery,
    sbc_ecdf,
    sbc_histograms,
    sbc_quantities,
    sbc_ranks,
    tarp,
    two_level_recovery,
    two_level_sbc,
    verdict,
    z_score_contraction,
)

sbc_histogram = sbc_histograms
plots = absent("plots", f"it is BayesFlow 2's: {VERSION_2['plots']}")
metrics = absent("metrics", f"it is BayesFlow 2's: {VERSION_2['metrics']}")

# Written out for type checkers.
__all__ = [
    "c2st", "calibration_curves", "confusion_matrix", "coverage", "expected_calibration_error", "joint_test", "kde", "latent_normality", "lc2st", "log_score",
    "losses", "median_abs_deviation", "mmd", "mmd_hypothesis_test", "model_verdict", "pairs", "plot_calibration_curves", "plot_confusion_matrix", "plot_coverage",
    "plot_latent_space_2d", "plot_lc2st", "plot_losses", "plot_mmd_hypothesis_test", "plot_posterior_2d", "plot_posterior_predictive", "plot_predictive_bands",
    "plot_prior2d", "plot_pushforward", "plot_recovery", "plot_sbc_ecdf", "plot_sbc_histograms", "plot_tarp", "plot_two_level_recovery", "plot_two_level_sbc", "plot_z_score_contraction", "posterior_2d",
    "posterior_predictive", "pushforward", "recovery", "sbc_ecdf", "sbc_histogram", "sbc_histograms", "sbc_quantities", "sbc_ranks", "tarp", "two_level_recovery", "two_level_sbc", "verdict", "z_score_contraction",
]  # fmt: skip

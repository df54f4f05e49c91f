"""Conditional normalizing flows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import _core
from .._arrays import as_arguments, as_choice, as_flag, as_float64, as_numbers, shown
from ..default_settings import DEFAULT_SETTING_INVERTIBLE_NET, build_meta_dict
from ..exceptions import ConfigurationError
from ._flow import _Flow
from ._settings import _coupling, _coupling_options, _few, _inner

if TYPE_CHECKING:
    from typing import Any

    from .._types import ArrayLike, Settings, Size


class InvertibleNetwork(_Flow):
    """A conditional normalizing flow from coupling layers: z = f(theta; condition), invertible in theta.

    Parameters
    ----------
    num_params : int
        Width of the targets.
    num_coupling_layers : int
    coupling_design : "affine", "spline" or "interleaved"
    coupling_settings : dict, optional
        dense_args (as those of `DeepSet`), num_dense, dropout, dropout_prob, mc_dropout, spec_norm,
        residual, and soft_clamping (affine) or bins, default_domain and location_scale (spline: a scale and a shift before each
        spline, on by default; False: v1's splines, whose draws now and then lie far off). What is not named keeps its default. Interleaved: a dictionary
        with the keys "affine" and "spline". Weight decay and dropout are on by default; switch them off for online training:
        ``{"dense_args": dict(kernel_regularizer=None), "dropout": False}``.
    permutation : "fixed", "learnable" or None
    use_act_norm : bool
    act_norm_init : array (n, P), optional
        Parameters from which act norm starts.
    use_soft_flow, soft_flow_bounds
        SoftFlow (Kim et al. 2020), for degenerate posteriors.
    seed : int, optional
        Of initialization; None: the trainer's.
    """

    available_designs = ("affine", "spline", "interleaved")
    _prefix = "inference_net."

    def __init__(self, num_params: int, num_coupling_layers: int = 6, coupling_design: str = "affine", coupling_settings: Settings | None = None,
                 permutation: str = "fixed", use_act_norm: bool = True, act_norm_init: ArrayLike | None = None, use_soft_flow: bool = False,
                 soft_flow_bounds: Size = (1e-3, 5e-2), *, name: str | None = None, seed: int | None = None) -> None:  # fmt: skip
        super().__init__(seed, name)
        _few("InvertibleNetwork", num_coupling_layers=num_coupling_layers)
        as_choice(coupling_design, "InvertibleNetwork: coupling_design", self.available_designs)
        low, high = as_numbers(soft_flow_bounds, "InvertibleNetwork: soft_flow_bounds", 2)
        if not 0 < low <= high:
            raise ConfigurationError(f"InvertibleNetwork: soft_flow_bounds must be two positive numbers, the lower one first; got {shown(soft_flow_bounds)}")
        self.latent_dim, self.permutation, self.use_act_norm = num_params, permutation, use_act_norm
        self.soft_flow, self.soft_low, self.soft_high = as_flag(use_soft_flow, "InvertibleNetwork: use_soft_flow"), low, high
        spline = None
        if coupling_design == "interleaved":
            if coupling_settings is not None and set(as_arguments(coupling_settings, "coupling_settings")) != {"affine", "spline"}:
                raise ConfigurationError('InvertibleNetwork: coupling_settings of an interleaved flow need the keys "affine" and "spline", or None')
            settings = coupling_settings or {"affine": None, "spline": None}
            main, spline = _coupling(settings["affine"], "affine"), _coupling(settings["spline"], "spline")
        else:
            main = _coupling(coupling_settings, coupling_design)
        self._arguments = (num_params, num_coupling_layers, coupling_design, main, spline, permutation, use_act_norm,
                           as_float64(act_norm_init, "act_norm_init", ndim=(2, 3)), use_soft_flow, low, high)  # fmt: skip
        self._options = self._make()

    def __repr__(self):
        num_params, layers, design, main, spline, permutation, use_act_norm, *_ = self._arguments
        options = [f"num_params={num_params}", f"num_coupling_layers={layers}", f"coupling_design={design!r}"]
        options += [f"permutation={permutation!r}"] * (permutation != "fixed") + ["use_act_norm=False"] * (not use_act_norm)
        inner = " and ".join(_inner(settings) for settings in (main, spline) if settings is not None)
        return f"<InvertibleNetwork({', '.join(options)}), {inner}; {self._weights()}>"

    def _make(self):
        num_params, layers, design, main, spline, *rest = self._arguments
        return _core.InvertibleNetworkOptions(num_params, layers, design, _coupling_options(main), None if spline is None else _coupling_options(spline), *rest)

    def __getstate__(self):
        state = super().__getstate__()
        del state["_options"]
        return state

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._options = self._make()

    @staticmethod
    def create_config(**kwargs: Any) -> dict[str, Any]:
        """The constructor's arguments with v1's defaults: ``InvertibleNetwork(**create_config(num_params=4))``."""
        if "num_params" not in kwargs:
            raise ConfigurationError("InvertibleNetwork.create_config: num_params is required")
        return build_meta_dict(kwargs, {"num_params": None, **DEFAULT_SETTING_INVERTIBLE_NET}, "InvertibleNetwork.create_config")

    def _standalone(self, condition_width):
        return _core.StandaloneFlow(self._options, condition_width, self._seed())

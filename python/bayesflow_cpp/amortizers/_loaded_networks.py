"""Networks of a file: handles of an amortizer's weights, without the options they were made of."""

from __future__ import annotations

from ..exceptions import ConfigurationError
from ..networks import InvertibleNetwork, _Network, _SummaryNetwork


class LoadedSummary(_SummaryNetwork):
    def __init__(self, amortizer):
        super().__init__(None, "summary_network")
        self._amortizer = amortizer

    @property
    def _factory(self):
        raise ConfigurationError("a network of a file cannot be made again without its weights; make a new one with the same options")

    def __repr__(self):
        return f"<summary network of a file; {self._weights()}>"


class LoadedInvertible(InvertibleNetwork):
    def __init__(self, amortizer, num_params):
        self.seed, self._alone, self._amortizer, self.latent_dim, self.name = None, None, amortizer, num_params, "invertible_network"

    _options = LoadedSummary._factory

    def __repr__(self):
        return f"<{self._amortizer._core.inference_net}, of a file; {self._weights()}>"

    def __getstate__(self):
        state = dict(self.__dict__)
        state["_alone"], state["_amortizer"] = None, None
        return state

    def __setstate__(self, state):
        self.__dict__.update(state)


class LoadedHead(_Network):
    """Of an amortizer that answers without draws."""

    _prefix = "inference_net."
    _options = LoadedSummary._factory

    def __init__(self, amortizer, width):
        super().__init__(None, "inference_network")
        self._amortizer, self.latent_dim = amortizer, width

    def _made(self, *args, **changed):
        return self._options

    def __repr__(self):
        return f"<inference network of a file; {self._weights()}>"

"""Amortizers that are made of amortizers: one set of weights, one trainer, one file."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

from .. import _core
from .._arrays import Scalar, as_batch, as_count
from ..exceptions import ConfigurationError
from ..helper_classes import label_of
from ..networks import as_net_name, print_summary, require_inference
from ._base import Amortizer

if TYPE_CHECKING:
    from .._types import Function, Simulations


class AmortizerGroup(Amortizer):
    """What groups have in common. A class names its parts (`_part_names`, attributes that hold amortizers) and makes an engine of theirs (`_join`)."""

    _part_names = ()
    _takes_trained = False  # amortizers that have weights
    inference_net = summary_net = latent_dist = None
    seed, _mmd, latent_dim = None, 0.0, 0

    def _amortizers(self):
        """The parts by their names."""
        return [(part, getattr(self, part)) for part in self._part_names]

    def _set_up_group(self, name):
        for part_name, part in self._amortizers():
            if part._owner is not None or part._engine is not None and part._engine.is_built and not self._takes_trained:
                raise ConfigurationError(f"{self._kind}: {part_name} has weights already, or shares them with another amortizer; give one that is new")
        self._threads, self.info, self._trained = max(part._threads for _, part in self._amortizers()), None, {}
        self._engine = self._join()
        self.name = as_net_name(name, self)

    def _join(self):
        raise NotImplementedError

    def _take_parts(self):
        """After the engine came from a file: gives the parts theirs."""
        raise NotImplementedError

    def _networks(self):
        return [net for _, part in self._amortizers() for net in part._networks()]

    @property
    def adapter(self):
        """Each part has its own."""
        return None

    @property
    def _has_adapter(self):
        return any(part._has_adapter for _, part in self._amortizers())

    def _parts(self):
        """The networks by what the names of their weights begin with."""
        return [(f"{self._in_engine(part_name)}.{name}", net) for part_name, part in self._amortizers() for name, net in part._parts()]

    @staticmethod
    def _in_engine(part_name):
        return part_name.removesuffix("_amortizer").removeprefix("amortized_")

    def summary(self, *, print_fn: Function | None = None, expand_nested: bool = False) -> None:
        """Prints Keras' table: the networks of all parts and their numbers of weights; `expand_nested`: all layers; `print_fn` is given each line instead."""
        print_summary(self, print_fn, expand_nested, own_names=False)

    @property
    def _core(self):
        return self._engine

    @property
    def is_built(self) -> bool:
        """Whether the weights are there: after the first trainer or call."""
        return self._engine.is_built

    def __repr__(self):
        weights = f"{self.number_of_parameters:,} weights" if self.is_built else "no weights yet"
        return f"<{self._kind} of {', '.join(repr(part) for _, part in self._amortizers())}; {weights}>"

    def compute_loss(self, input_dict: Simulations, *, training: bool = False) -> dict[str, Scalar]:
        """The loss of each part, by the names of the history's columns; without dropout and weight decay."""
        require_inference(f"{self._kind}.compute_loss", training)
        terms = self._ready(input_dict, True).compute_loss(self._inputs(input_dict, True))
        return {label_of(name): Scalar(value) for name, value in terms.items() if name != "weight_decay"}

    def check(self, input_dict: Simulations, n_samples: int = 0, *, seed: int = 0) -> _core.DataCheck:
        """Whether these data sets are like the simulations of training, as the first member, the posterior or the global posterior says it: see
        `AmortizedPosterior.check`. Inputs are configured ones."""
        count, seed = as_count(n_samples, f"{self._kind}.check: n_samples", 0), as_count(seed, f"{self._kind}.check: seed", 0)
        return self._ready(input_dict).check(self._inputs(input_dict), count, seed)

    def _ready(self, input_dict, target=True):
        if not self._engine.is_built:
            self._engine.build(self._inputs(input_dict, True))
        return self._engine

    def _inputs(self, input_dict, target=False):
        if not isinstance(input_dict, dict):
            raise ConfigurationError(f"{self._kind}: the input must be a dictionary, as a configurator makes it; got {type(input_dict).__name__}")
        return as_batch(input_dict)

    def __getstate__(self):
        state = dict(self.__dict__)
        engine = state.pop("_engine")
        if engine.is_built:
            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "model.h5")
                engine.save(path, "", [], {})
                with open(path, "rb") as file:
                    state["_file"] = file.read()
        return state

    def __setstate__(self, state):
        file = state.pop("_file", None)
        self.__dict__.update(state)
        if file is None:
            self._engine = self._join()
            return
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.h5")
            with open(path, "wb") as out:
                out.write(file)
            self._engine, _ = _core.load_amortizer(path, self._threads, True)
        self._take_parts()

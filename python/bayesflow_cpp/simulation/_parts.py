"""What priors and simulators have in common."""

from __future__ import annotations

from .._arrays import as_array, as_count, own, refuse_masked
from .._functions import name_of
from .._native import NativeFunction, native_or_keyed
from ..exceptions import ConfigurationError
from ._external import ExternalFunction
from ._rows import returned, run_rows
from .contexts import OwnContexts, contexts_of

_ENGINES = (NativeFunction, ExternalFunction)  # functions that the engine runs


class Part:
    """What priors and simulators have in common."""

    def __init__(self, owner, batched, single, context_generator):
        if (batched is None) == (single is None):
            raise ConfigurationError(f"{owner}: exactly one function is required, for single simulations or for batches; got {'both' if single else 'none'}")
        for function in (batched, single):
            if isinstance(function, Part):
                raise ConfigurationError(f"{owner}: its function is a {type(function).__name__}; give the function that draws, or use the {type(function).__name__} itself")
        self.is_batched = batched is not None
        self.context_gen, self._contexts = context_generator, contexts_of(context_generator, owner)
        self._function = single if isinstance(single, ExternalFunction) else native_or_keyed(batched if self.is_batched else single, owner)
        if self.is_batched and isinstance(self._function, NativeFunction):
            raise ConfigurationError(f"{owner}: compiled functions make one simulation at a time; give it as the function of single simulations")
        self._name = owner.lower()
        self._elsewhere = None
        self._next = 0

    def __repr__(self):
        function = self._function if isinstance(self._function, _ENGINES) else self._function.function
        kind = "command" if isinstance(function, ExternalFunction) else f"{'batch_' if self.is_batched else ''}{self._name}_fun"
        options = [f"{kind}={name_of(function)}"]
        if self.context_gen is not None:
            options.append(f"context_generator={self.context_gen!r}")
        if self._elsewhere is not None:
            options.append(repr(self._elsewhere))
        if getattr(self, "param_names", None) is not None:
            names = self.param_names
            options.append(f"param_names={names}" if len(names) <= 6 else f"param_names=[{names[0]!r}, ..., {names[-1]!r}] ({len(names)})")
        return f"{type(self).__name__}({', '.join(options)})"

    def _advance(self, count):
        first, self._next = self._next, self._next + as_count(count, f"{self._name}: batch_size")
        return first

    @property
    def _has_non_batchable_context(self):
        return self._contexts is not None and self._contexts.non_batchable_context_fun is not None

    @property
    def _depends_on_batch(self):
        return self.is_batched or isinstance(self._contexts, OwnContexts)

    @property
    def _reproducible(self):
        return (isinstance(self._function, _ENGINES) or self._function.takes_rng) and (self._contexts is None or self._contexts._takes_rng)

    def _context(self, batch_size, streams, first, non_batchable, args=(), kwargs={}):
        if self._contexts is None:
            return {"non_batchable_context": None, "batchable_context": None}
        return self._contexts._draw(batch_size, streams.branch("context"), first, non_batchable, args, kwargs)

    def _run(self, batch_size, parameters, context, streams, first, args, kwargs):
        """The user's function on a whole batch: (batch_size, ...). It is given copies, so that what it changes in place stays as it was drawn."""
        batchable, non_batchable = context["batchable_context"], context["non_batchable_context"]
        if isinstance(self._function, _ENGINES):
            if args or kwargs:
                raise ConfigurationError(f"{self._name}: compiled functions and programs take no further arguments; got {(*args, *kwargs)}")
            return self._function.run(batch_size, parameters, batchable, non_batchable, streams, first)
        refuse_masked(parameters, f"{self._name}: params")
        here = lambda: self._run_here(batch_size, parameters, batchable, non_batchable, streams, first, args, kwargs)  # noqa: E731
        if self._elsewhere is None:
            return here()
        return self._elsewhere.run(self._name, batch_size, parameters, batchable, non_batchable, streams, first, args, kwargs, here)

    def _run_here(self, batch_size, parameters, batchable, non_batchable, streams, first, args, kwargs):
        if self.is_batched:
            parameters = own(parameters)
            shared = () if non_batchable is None else (own(non_batchable),)
            lead = () if batchable is None else (own(batchable),)
            if parameters is None:
                try:
                    draws = self._function(streams.at(first), *lead, *shared, *args, batch_size=batch_size, **kwargs)
                except TypeError as error:
                    if "batch_size" not in str(error):
                        raise
                    raise ConfigurationError(
                        f"Prior: {error}. The first argument, batch_prior_fun, draws a whole batch and takes batch_size; a function of one draw is given as "
                        "Prior(prior_fun=...)"
                    ) from error
                return as_array(returned(self._name, draws), self._name)
            out = returned(self._name, self._function(streams.at(first), parameters, *lead, *shared, *args, **kwargs))
            refuse_masked(out, f"{self._name}: its data")
            return as_array(out, f"{self._name}: its data") if isinstance(out, (list, tuple)) else out
        return run_rows(self._name, self._function, streams, first, batch_size, parameters, batchable, non_batchable, args, kwargs)

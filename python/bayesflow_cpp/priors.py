"""Priors with names: draws, log densities and supports of common distributions, put together by parameter name.

    prior = bf.priors.Joint(mu=bf.priors.Normal(0, 5), sigma=bf.priors.HalfNormal(2), theta=lambda mu, sigma: bf.priors.Normal(mu, sigma))
    model = bf.simulation.GenerativeModel(prior, simulator)
    adapter = bf.Adapter.infer(model(1000), prior.param_names, support=prior.support)
"""

from __future__ import annotations

import inspect
import math
from typing import TYPE_CHECKING

import numpy as np

from ._arrays import as_float64, shown
from .exceptions import ArgumentError, ConfigurationError, ShapeError
from .simulation import Prior

if TYPE_CHECKING:
    from typing import Any

    from ._types import ArrayLike

__all__ = [
    "Beta", "Categorical", "Cauchy", "Dirichlet", "Distribution", "Exponential", "Gamma", "HalfCauchy", "HalfNormal", "InverseGamma", "Joint", "Laplace", "LogNormal",
    "MultivariateNormal", "Normal", "Poisson", "StudentT", "Truncated", "Uniform",
]  # fmt: skip

_log_gamma, _erfc = np.vectorize(math.lgamma, otypes=[float]), np.vectorize(math.erfc, otypes=[float])


class Distribution:
    """What distributions have: `draw(rng, size)` -> (size,) or (size, width), `log_prob(x)` -> (size,), -inf outside of the support, `support` and `width`.

    Arguments are numbers, or one number for each draw, as those that depend on other parameters are."""

    width = 1  #: columns
    is_discrete = False
    _positive = ()  # names of arguments that must be above 0

    def _set(self, **arguments):
        for name, value in arguments.items():
            value = as_float64(value, f"priors.{type(self).__name__}: {name}")
            if not np.isfinite(value).all():
                raise ConfigurationError(f"priors.{type(self).__name__}: {name} must be finite; got {shown(value)}")
            if name in self._positive and not (value > 0).all():
                raise ConfigurationError(f"priors.{type(self).__name__}: {name} must be above 0; got {shown(value)}")
            setattr(self, name, value)

    def __repr__(self):
        return f"priors.{type(self).__name__}({', '.join(f'{name}={value}' for name, value in vars(self).items())})"

    @property
    def support(self) -> tuple[Any, Any]:
        """The lowest and highest values, (-inf, inf) where there is no bound."""
        return -np.inf, np.inf

    def draw(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """`size` independent draws."""
        return self._draws(rng, size)

    def _draws(self, rng, size):
        raise NotImplementedError

    def log_prob(self, x: ArrayLike) -> np.ndarray:
        """Log density (of integers: log probability) of each of x."""
        x = as_float64(x, f"priors.{type(self).__name__}.log_prob: x")
        with np.errstate(all="ignore"):
            return np.where(self._inside(x), self._log_density(x), -np.inf)

    def _inside(self, x):
        low, high = self.support
        inside = np.isfinite(x) & (x >= low) & (x <= high)
        return inside & (x == np.round(x)) if self.is_discrete else inside

    def _log_density(self, x):
        raise NotImplementedError

    def _mass(self, low, high):
        """P(low < x < high)."""
        raise ConfigurationError(f"priors.Truncated: there is no distribution function of {type(self).__name__}; truncate a Normal, LogNormal, Uniform, Exponential, Laplace or Cauchy")


class Normal(Distribution):
    """Density exp(-(x - mean)^2 / (2 sd^2)) / (sd sqrt(2 pi))."""

    _positive = ("sd",)

    def __init__(self, mean: ArrayLike = 0.0, sd: ArrayLike = 1.0) -> None:
        self._set(mean=mean, sd=sd)

    def _draws(self, rng, size):
        return self.mean + self.sd * rng.standard_normal(size)

    def _log_density(self, x):
        return -0.5 * ((x - self.mean) / self.sd) ** 2 - np.log(self.sd) - 0.5 * math.log(2 * math.pi)

    def _mass(self, low, high):
        low, high = (low - self.mean) / self.sd, (high - self.mean) / self.sd
        low, high = np.where(low > 0, -high, low), np.where(low > 0, -low, high)  # the tail that keeps its digits
        return 0.5 * (_erfc(-high / math.sqrt(2)) - _erfc(-low / math.sqrt(2)))


class LogNormal(Distribution):
    """exp of Normal(mean, sd)."""

    _positive = ("sd",)
    support = (0.0, np.inf)

    def __init__(self, mean: ArrayLike = 0.0, sd: ArrayLike = 1.0) -> None:
        self._set(mean=mean, sd=sd)

    def _draws(self, rng, size):
        return np.exp(self.mean + self.sd * rng.standard_normal(size))

    def _inside(self, x):
        return (x > 0) & np.isfinite(x)

    def _log_density(self, x):
        return Normal(self.mean, self.sd)._log_density(np.log(x)) - np.log(x)

    def _mass(self, low, high):
        with np.errstate(divide="ignore"):
            return Normal(self.mean, self.sd)._mass(np.log(np.maximum(low, 0)), np.log(high))


class HalfNormal(Distribution):
    """|x| of Normal(0, sd)."""

    _positive = ("sd",)
    support = (0.0, np.inf)

    def __init__(self, sd: ArrayLike = 1.0) -> None:
        self._set(sd=sd)

    def _draws(self, rng, size):
        return np.abs(self.sd * rng.standard_normal(size))

    def _log_density(self, x):
        return Normal(0, self.sd)._log_density(x) + math.log(2)


class Uniform(Distribution):
    """Density 1 / (upper - lower) between the two."""

    def __init__(self, lower: ArrayLike = 0.0, upper: ArrayLike = 1.0) -> None:
        self._set(lower=lower, upper=upper)
        if not (self.lower < self.upper).all():
            raise ConfigurationError(f"priors.Uniform: lower must be below upper; got {shown(self.lower)} and {shown(self.upper)}")

    @property
    def support(self) -> tuple[Any, Any]:
        """The bounds."""
        return self.lower, self.upper

    def _draws(self, rng, size):
        return self.lower + (self.upper - self.lower) * rng.random(size)

    def _log_density(self, x):
        return -np.log(self.upper - self.lower) + 0 * x

    def _mass(self, low, high):
        return np.maximum(np.minimum(high, self.upper) - np.maximum(low, self.lower), 0) / (self.upper - self.lower)


class Exponential(Distribution):
    """Density rate exp(-rate x), x >= 0."""

    _positive = ("rate",)
    support = (0.0, np.inf)

    def __init__(self, rate: ArrayLike = 1.0) -> None:
        self._set(rate=rate)

    def _draws(self, rng, size):
        return rng.standard_exponential(size) / self.rate

    def _log_density(self, x):
        return np.log(self.rate) - self.rate * x

    def _mass(self, low, high):
        return np.exp(-self.rate * np.maximum(low, 0)) - np.exp(-self.rate * np.maximum(high, 0))


class Gamma(Distribution):
    """Density rate^shape x^(shape - 1) exp(-rate x) / Gamma(shape), x > 0; its mean is shape / rate."""

    _positive = ("shape", "rate")
    support = (0.0, np.inf)

    def __init__(self, shape: ArrayLike, rate: ArrayLike = 1.0) -> None:
        self._set(shape=shape, rate=rate)

    def _draws(self, rng, size):
        return rng.gamma(np.broadcast_to(self.shape, size)) / self.rate

    def _inside(self, x):
        return (x > 0) & np.isfinite(x)

    def _log_density(self, x):
        return self.shape * np.log(self.rate) - _log_gamma(self.shape) + (self.shape - 1) * np.log(x) - self.rate * x


class InverseGamma(Distribution):
    """1 / x of Gamma(shape, scale): density scale^shape x^(-shape - 1) exp(-scale / x) / Gamma(shape), x > 0."""

    _positive = ("shape", "scale")
    support = (0.0, np.inf)

    def __init__(self, shape: ArrayLike, scale: ArrayLike = 1.0) -> None:
        self._set(shape=shape, scale=scale)

    def _draws(self, rng, size):
        return self.scale / rng.gamma(np.broadcast_to(self.shape, size))

    def _inside(self, x):
        return (x > 0) & np.isfinite(x)

    def _log_density(self, x):
        return self.shape * np.log(self.scale) - _log_gamma(self.shape) - (self.shape + 1) * np.log(x) - self.scale / x


class Beta(Distribution):
    """Density x^(a - 1) (1 - x)^(b - 1) / B(a, b), 0 < x < 1."""

    _positive = ("a", "b")
    support = (0.0, 1.0)

    def __init__(self, a: ArrayLike, b: ArrayLike) -> None:
        self._set(a=a, b=b)

    def _draws(self, rng, size):
        return rng.beta(np.broadcast_to(self.a, size), np.broadcast_to(self.b, size))

    def _inside(self, x):
        return (x > 0) & (x < 1)

    def _log_density(self, x):
        return (self.a - 1) * np.log(x) + (self.b - 1) * np.log1p(-x) + _log_gamma(self.a + self.b) - _log_gamma(self.a) - _log_gamma(self.b)


class StudentT(Distribution):
    """location + scale t with t of `df` degrees of freedom."""

    _positive = ("df", "scale")

    def __init__(self, df: ArrayLike, location: ArrayLike = 0.0, scale: ArrayLike = 1.0) -> None:
        self._set(df=df, location=location, scale=scale)

    def _draws(self, rng, size):
        return self.location + self.scale * rng.standard_t(np.broadcast_to(self.df, size))

    def _log_density(self, x):
        t, half = (x - self.location) / self.scale, (self.df + 1) / 2
        return _log_gamma(half) - _log_gamma(self.df / 2) - 0.5 * np.log(self.df * math.pi) - np.log(self.scale) - half * np.log1p(t**2 / self.df)


class Cauchy(Distribution):
    """Density 1 / (pi scale (1 + ((x - location) / scale)^2))."""

    _positive = ("scale",)

    def __init__(self, location: ArrayLike = 0.0, scale: ArrayLike = 1.0) -> None:
        self._set(location=location, scale=scale)

    def _draws(self, rng, size):
        return self.location + self.scale * rng.standard_cauchy(size)

    def _log_density(self, x):
        return -np.log(math.pi * self.scale) - np.log1p(((x - self.location) / self.scale) ** 2)

    def _mass(self, low, high):
        return (np.arctan((high - self.location) / self.scale) - np.arctan((low - self.location) / self.scale)) / math.pi


class HalfCauchy(Distribution):
    """|x| of Cauchy(0, scale)."""

    _positive = ("scale",)
    support = (0.0, np.inf)

    def __init__(self, scale: ArrayLike = 1.0) -> None:
        self._set(scale=scale)

    def _draws(self, rng, size):
        return np.abs(self.scale * rng.standard_cauchy(size))

    def _log_density(self, x):
        return Cauchy(0, self.scale)._log_density(x) + math.log(2)


class Laplace(Distribution):
    """Density exp(-|x - location| / scale) / (2 scale)."""

    _positive = ("scale",)

    def __init__(self, location: ArrayLike = 0.0, scale: ArrayLike = 1.0) -> None:
        self._set(location=location, scale=scale)

    def _draws(self, rng, size):
        return rng.laplace(self.location, self.scale, size)

    def _log_density(self, x):
        return -np.abs(x - self.location) / self.scale - np.log(2 * self.scale)

    def _mass(self, low, high):
        below = lambda x: np.where(x < 0, 0.5 * np.exp(np.minimum(x, 0)), 1 - 0.5 * np.exp(-np.maximum(x, 0)))  # noqa: E731
        return below((high - self.location) / self.scale) - below((low - self.location) / self.scale)


class Poisson(Distribution):
    """P(x) = rate^x exp(-rate) / x!, x = 0, 1, 2, ..."""

    _positive = ("rate",)
    support, is_discrete = (0.0, np.inf), True

    def __init__(self, rate: ArrayLike) -> None:
        self._set(rate=rate)

    def _draws(self, rng, size):
        return rng.poisson(np.broadcast_to(self.rate, size)).astype(float)

    def _log_density(self, x):
        return x * np.log(self.rate) - self.rate - _log_gamma(np.maximum(x, 0) + 1)


class Categorical(Distribution):
    """P(k) = probs[k], k = 0, ..., K - 1."""

    is_discrete = True

    def __init__(self, probs: ArrayLike) -> None:
        self._set(probs=probs)
        if self.probs.ndim != 1 or len(self.probs) < 2 or (self.probs < 0).any() or abs(self.probs.sum() - 1) > 1e-8:
            raise ConfigurationError(f"priors.Categorical: probs must be two or more numbers that are not negative and sum to 1; got {shown(self.probs)}")

    @property
    def support(self) -> tuple[Any, Any]:
        """0 and K - 1."""
        return 0.0, len(self.probs) - 1.0

    def _draws(self, rng, size):
        return rng.choice(len(self.probs), size, p=self.probs / self.probs.sum()).astype(float)

    def _log_density(self, x):
        return np.log(self.probs[np.clip(np.nan_to_num(x), 0, len(self.probs) - 1).astype(int)])


class Dirichlet(Distribution):
    """K numbers that are not negative and sum to 1; the density is that of the first K - 1."""

    _positive = ("concentration",)
    support = (0.0, 1.0)

    def __init__(self, concentration: ArrayLike) -> None:
        self._set(concentration=concentration)
        if self.concentration.ndim != 1 or len(self.concentration) < 2:
            raise ConfigurationError(f"priors.Dirichlet: concentration must be two or more numbers; got {shown(self.concentration)}")
        self.width = len(self.concentration)

    def _draws(self, rng, size):
        return rng.dirichlet(self.concentration, size)

    def _inside(self, x):
        return (x > 0).all(-1) & (np.abs(x.sum(-1) - 1) < 1e-6)

    def _log_density(self, x):
        a = self.concentration
        return ((a - 1) * np.log(x)).sum(-1) + math.lgamma(a.sum()) - _log_gamma(a).sum()


class MultivariateNormal(Distribution):
    """Normal of the given mean (D,) and covariance (D, D)."""

    def __init__(self, mean: ArrayLike, cov: ArrayLike) -> None:
        self._set(mean=mean, cov=cov)
        if self.mean.ndim != 1 or self.cov.shape != (len(self.mean),) * 2 or not np.allclose(self.cov, self.cov.T):
            raise ConfigurationError(f"priors.MultivariateNormal: mean must be (D,) and cov a symmetric (D, D); got {self.mean.shape} and {self.cov.shape}")
        try:
            self._root = np.linalg.cholesky(self.cov)
        except np.linalg.LinAlgError:
            raise ConfigurationError("priors.MultivariateNormal: cov must be positive definite") from None
        self.width = len(self.mean)

    def _draws(self, rng, size):
        return self.mean + rng.standard_normal((size, self.width)) @ self._root.T

    def _inside(self, x):
        return np.isfinite(x).all(-1)

    def _log_density(self, x):
        z = np.linalg.solve(self._root, (x - self.mean).T)
        return -0.5 * (z**2).sum(0) - np.log(np.diag(self._root)).sum() - 0.5 * self.width * math.log(2 * math.pi)


class Truncated(Distribution):
    """A distribution between bounds, and its density there over the share that it has there. Draws outside are drawn again, so that the share must be at least
    0.001."""

    def __init__(self, distribution: Distribution, lower: float = -np.inf, upper: float = np.inf) -> None:
        if not isinstance(distribution, Distribution) or distribution.width != 1 or distribution.is_discrete:
            raise ConfigurationError(f"priors.Truncated: a continuous distribution of one number is required; got {shown(distribution)}")
        self.distribution, self.lower, self.upper = distribution, float(lower), float(upper)
        if not self.lower < self.upper:
            raise ConfigurationError(f"priors.Truncated: lower must be below upper; got {lower} and {upper}")
        self._share = distribution._mass(self.lower, self.upper)
        if not (self._share >= 1e-3).all():
            raise ConfigurationError(f"priors.Truncated: the distribution has a share of {np.min(self._share):.2g} between {lower} and {upper}; it must be at least 0.001")

    @property
    def support(self) -> tuple[Any, Any]:
        """The bounds, or those of the distribution where these are closer."""
        low, high = self.distribution.support
        return np.maximum(low, self.lower), np.minimum(high, self.upper)

    def _draws(self, rng, size):
        out = self.distribution.draw(rng, size)
        while True:
            outside = ~((out >= self.lower) & (out <= self.upper))
            if not outside.any():
                return out
            out = np.where(outside, self.distribution.draw(rng, size), out)

    def _inside(self, x):
        return self.distribution._inside(x) & super()._inside(x)

    def _log_density(self, x):
        return self.distribution._log_density(x) - np.log(self._share)


class Joint(Prior):
    """Distributions by parameter name, as a prior: independent ones, and functions of parameters named before that return one.

        Joint(mu=Normal(0, 5), sigma=HalfNormal(2), theta=lambda mu, sigma: Normal(mu, sigma))

    A distribution of several columns, "x", has the parameters "x_0", "x_1", ..."""

    def __init__(self, **distributions: Any) -> None:
        if not distributions:
            raise ConfigurationError("priors.Joint: name at least one parameter: Joint(mu=Normal(0, 1))")
        self._needs = {}
        for name, of in distributions.items():
            if not isinstance(of, Distribution) and (not callable(of) or isinstance(of, type)):
                raise ConfigurationError(f"priors.Joint: {name} must be a distribution of bf.priors, or a function of earlier parameters that returns one; got {shown(of)}")
            self._needs[name] = [] if isinstance(of, Distribution) else list(inspect.signature(of).parameters)
            late = [need for need in self._needs[name] if need not in list(self._needs)[:-1]]
            if late:
                raise ConfigurationError(f'priors.Joint: {name} is a function of "{late[0]}", which is not named before it; name it earlier')
        self.distributions = distributions
        draws, made = self._draw_named(np.random.default_rng(0), 200)
        self._widths = {name: 1 if value.ndim == 1 else value.shape[1] for name, value in draws.items()}
        names = [name if width == 1 else f"{name}_{i}" for name, width in self._widths.items() for i in range(width)]
        self.support = [_common(made[name].support) for name, width in self._widths.items() for _ in range(width)]
        super().__init__(batch_prior_fun=self._draw_all, param_names=names)

    def _made(self, name, values):
        of = self.distributions[name]
        if isinstance(of, Distribution):
            return of
        out = of(*[values[need] for need in self._needs[name]])
        if not isinstance(out, Distribution):
            raise ConfigurationError(f"priors.Joint: the function of {name} must return a distribution of bf.priors; it returned {shown(out)}")
        return out

    def _draw_named(self, rng, size):
        draws, made = {}, {}
        for name in self.distributions:
            made[name] = self._made(name, draws)
            draws[name] = made[name].draw(rng, size)
            if draws[name].shape[0] != size:
                raise ShapeError(f"priors.Joint: {name} drew shape {draws[name].shape} instead of {size} draws; its arguments must be numbers, or one number for each draw")
        return draws, made

    def _draw_all(self, rng, batch_size):
        draws = self._draw_named(rng, batch_size)[0]
        return np.concatenate([value.reshape(batch_size, -1) for value in draws.values()], axis=1)

    def log_prob(self, prior_draws: ArrayLike) -> np.ndarray:
        """Log density of rows of parameters, (B, P) or (P,), in the order of `param_names`; -inf outside of the support."""
        x = np.atleast_2d(as_float64(prior_draws, "priors.Joint.log_prob: prior_draws"))
        if x.ndim != 2 or x.shape[1] != len(self.param_names):
            raise ArgumentError(f"priors.Joint.log_prob: prior_draws must be (B, {len(self.param_names)}), of {', '.join(self.param_names)}; got {np.shape(prior_draws)}")
        values, first, out = {}, 0, np.zeros(len(x))
        for name, width in self._widths.items():
            values[name] = x[:, first] if width == 1 else x[:, first : first + width]
            first += width
        possible = np.isfinite(x).all(-1)
        for name in self.distributions:
            # Where an earlier number is impossible already, a function of it may have no distribution.
            given = {key: np.where(possible if value.ndim == 1 else possible[:, None], value, _typical(value, possible)) for key, value in values.items()}
            if not possible.any():
                break
            out = out + self._made(name, given).log_prob(values[name])
            possible = possible & (out > -np.inf)
        return np.where(possible, out, -np.inf)

    def logpdf(self, prior_draws: ArrayLike) -> np.ndarray:
        """The same, by v1's name."""
        return self.log_prob(prior_draws)

    def __repr__(self):
        return f"priors.Joint({', '.join(f'{name}={of!r}' if isinstance(of, Distribution) else f'{name}=<function of {needs}>' for (name, of), needs in zip(self.distributions.items(), map(', '.join, self._needs.values())))})"


def _typical(values, possible):
    """A possible value of each column."""
    return values[np.argmax(possible)]


def _common(support):
    """(lower, upper), None where there is no bound or it depends on other parameters."""
    out = []
    for bound in support:
        bound = np.unique(bound)
        out.append(float(bound[0]) if len(bound) == 1 and np.isfinite(bound[0]) else None)
    return tuple(out)

"""The bridge to PyTensor, which is imported only here."""

import numpy as np

try:
    import pytensor.tensor as pt
    from pytensor.graph.basic import Apply
    from pytensor.graph.op import Op
except ImportError as error:
    raise ImportError("PyMCSurrogateLikelihood needs PyMC 5: pip install pymc") from error


class _LogLikelihood(Op):
    """theta (P,) -> log likelihood ()."""

    def __init__(self, surrogate):
        self.surrogate, self.gradient = surrogate, _Gradient(surrogate)

    def make_node(self, theta):
        return Apply(self, [pt.as_tensor_variable(theta)], [pt.scalar(dtype=np.dtype(self.surrogate.default_pymc_type).name)])

    def perform(self, node, inputs, outputs):
        self.surrogate.perform(node, inputs, outputs)

    def grad(self, inputs, output_grads):
        return [output_grads[0] * self.gradient(inputs[0])]

    L_op = lambda self, inputs, outputs, output_grads: self.grad(inputs, output_grads)  # noqa: E731


class _Gradient(Op):
    """theta (P,) -> d log likelihood / d theta (P,)."""

    def __init__(self, surrogate):
        self.surrogate = surrogate

    def make_node(self, theta):
        return Apply(self, [pt.as_tensor_variable(theta)], [pt.vector(dtype=np.dtype(self.surrogate.default_pymc_type).name)])

    def perform(self, node, inputs, outputs):
        (theta,) = inputs
        gradient = self.surrogate.log_likelihood_grad(self.surrogate.observables, np.asarray(theta, np.float64))
        outputs[0][0] = np.asarray(gradient, self.surrogate.default_pymc_type)


def log_likelihood_op(surrogate):
    return _LogLikelihood(surrogate)

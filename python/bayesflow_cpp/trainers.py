"""Training."""

from __future__ import annotations

import atexit
import os
import signal
import threading
import weakref
from typing import TYPE_CHECKING

import numpy as np

from . import _core
from ._arrays import as_arguments, as_batch, as_choice, as_count, as_flag, as_float64, as_number, as_path, is_whole, own, shown
from ._functions import name_of
from ._log import logger, warn_of_foreign
from ._progress import TrainingProgress, counted
from .amortizers import AmortizedPosterior
from .amortizers._base import AdapterConfigurator, Amortizer, alternatives
from .exceptions import ArgumentError, ConfigurationError, OperationNotSupportedError
from .helper_classes import LossHistory, RegressionLRAdjuster, SimulationMemory
from .optimizers import Adam, options_of
from .simulation import GenerativeModel, MultiGenerativeModel, SimulationStore
from .simulation.model import Model
from .simulation.multi import SharedContext
from .simulation.forward import from_core, restore, to_core

if TYPE_CHECKING:
    from typing import Any, Sequence

    from ._types import DataFrame, Figure, Function, Path, Settings, Simulations
    from .optimizers import AdamW, SGD

__all__ = ["Trainer"]

_of_folder = weakref.WeakValueDictionary()  # checkpoint folder -> the trainer of this process that keeps its runs there

# Training in a daemon thread ends after its present step when the interpreter does (a long simulation is waited for this long).
atexit.register(_core.end_trainings, 60.0)

_training = []  # threads with a training; one twice where trainings are nested


def _tell_main_thread():
    """A Ctrl-C that ended trainings of other threads is the main thread's as well, once, unless a training there raises it itself."""
    main = threading.main_thread()
    if _core.claim_interruption() and threading.current_thread() is not main and main.ident not in _training:
        signal.pthread_kill(main.ident, signal.SIGINT)


class _Forward:
    """Forward dictionaries as users have them and as the engine takes them; `multi`: also those of several models."""

    def __init__(self, multi=None, num_models=None, by_model=False):
        self.multi, self.num_models = multi, num_models
        self.is_by_model = by_model  # as the user has them

    def from_core(self, forward):
        return self.multi.by_model(forward) if self.is_by_model else from_core(forward)

    def to_core(self, forward):
        if not isinstance(forward, dict) or "model_outputs" not in forward:
            return to_core(forward)
        if self.multi is None:
            raise ConfigurationError("Trainer: these are simulations of several models; train an AmortizedModelComparison on them")
        self.is_by_model = True
        return self.multi.flat(forward, self.num_models)


class _TrainingModel:
    """Makes batches for training; `arguments` are those of the present call."""

    def __init__(self, make, to_core):
        self.make, self.to_core, self.arguments = make, to_core, {}

    def __call__(self, batch_size, streams, first, prior_context, sim_context):
        return self.to_core(self.make(batch_size, streams, first, restore(prior_context), restore(sim_context), **self.arguments))


class _Configurator:
    """The user's configurator as the engine calls it; `arguments` are those of the present call."""

    def __init__(self, function, amortizer, forward, memory=None):
        self.function, self.arguments, self.from_core = function, {}, forward.from_core
        self.target, self.given, self.flat = amortizer._target, alternatives(amortizer._given), amortizer._flat
        self.memory, self.rows = memory, None  # rows of a batch of the present call, whose batches the memory keeps

    def __call__(self, forward):
        rows = len(forward["sim_data"])
        made = self.function(self.from_core(forward), **self.arguments)
        inputs = self.flat(made) if isinstance(made, dict) else made
        if not isinstance(inputs, dict) or inputs.get(self.target) is None:
            got = sorted(inputs) if isinstance(inputs, dict) else type(inputs).__name__
            raise ConfigurationError(f'configurator: it must return a dictionary with "{self.target}" and {self.given}; got {got}')
        if self.memory is not None and rows == self.rows:
            self.memory.store(made)
        return as_batch(inputs, "configurator: {}")


class Trainer:
    """Trains an amortizer on a generative model, or on simulations alone.

    Parameters
    ----------
    amortizer : AmortizedPosterior, AmortizedLikelihood, AmortizedModelComparison, AmortizedPointEstimator or TwoLevelAmortizedPosterior
    generative_model : GenerativeModel or callable, optional
        A callable gets a batch size and returns a forward dictionary. Without a model only `train_offline` and `train_from_presimulation` work.
    configurator : callable, optional
        Forward dictionary -> {"parameters", "summary_conditions", "direct_conditions"}, for a likelihood {"observables", "conditions"}. None: the default one
        of the amortizer's class. It may drop rows, standardize, repeat a context.
    checkpoint_path : str, optional
        A folder in which everything that the result depends on is kept, after every epoch, every `checkpoint_minutes` and at the end. A program that
        was killed is run again: it finds it, and its unfinished call goes on, to the same bits as if it had never stopped if the model's functions
        take an `rng`. Calls that had ended are not repeated (see `resume`): a warning says so. A new Trainer of the same folder takes it over from
        a former one of the same process, which then trains no more: a notebook's cell may be run again.
    max_to_keep : int
        Checkpoints.
    default_lr : float
        Where no optimizer is given: Adam with a cosine decay from this to 0.
    memory : bool or helper_classes.SimulationMemory
        Keeps the first batches of training, configured, for `diagnose_latent2d` and `diagnose_sbc_histograms` (`trainer.simulation_memory`); `memory_kwargs`
        are its arguments. Without one these functions simulate afresh.
    num_models : int, optional
        Has no meaning here: the amortizer of a model comparison says it. It is taken so that programs for v1 run.
    seed : int
        Of initialization, simulations and noise: one seed, one result, for any number of threads.
    threads : int
        0: as many as the machine has.
    nonfinite : "refuse", "drop" or "redraw"
        What happens to simulations that are not finite; at most the share `max_dropped_share` may be dropped or redrawn.
    overlap : "auto", "on" or "off"
        Whether the next batch is simulated while the present one trains. The result is the same.
    resume : "program" or "state"
        "program": calls that had ended when the checkpoint was written return what they returned. "state": every call is a new one.
    progress : bool or callable
        Progress bars (tqdm). A callable is called instead after every step, and after every epoch and its validation (`epoch_done`), with one object:
        `epoch`, `epochs`, `iteration`, `iterations`, `losses` and `validation` (terms by name), `average_loss`, `learning_rate`, `iterations_per_second`,
        `seconds_left`. If it returns False, the run ends there; an exception ends it, too, with the weights of the last step in a checkpoint.
    communicator : mpi4py.MPI.Comm, optional
        Of the processes (ranks) that train together, all of which run the same program: `mpirun -n 4 python program.py` with
        `communicator=MPI.COMM_WORLD`. They share out simulations and networks, and results have the same bits for any number of them.
        Rank 0 keeps checkpoints and shows progress. Any object with mpi4py's `Get_rank`, `Get_size` and `Allgather` serves.
    precision : "float32" or "bfloat16"
        Of the matrix products of dense layers with 32 inputs and 5 outputs or more, in training and validation. With "bfloat16" their factors are rounded
        to 8 significant bits; weights, moments of the optimizer, sums, log-determinants and losses are float32 with either. Faster on CPUs with
        AVX512-BF16. ConfigurationError at the first step if the networks have no such layer.
    """

    def __init__(self, amortizer: Amortizer, generative_model: GenerativeModel | Function | None = None, configurator: Function | None = None,
                 checkpoint_path: Path | None = None, max_to_keep: int = 3, default_lr: float = 5e-4, skip_checks: bool = False,
                 memory: bool | SimulationMemory = False, *, memory_kwargs: Settings | None = None, num_models: int | None = None, seed: int = 0, threads: int = 0, nonfinite: str = "refuse", max_dropped_share: float = 0.1, overlap: str = "auto",
                 checkpoint_minutes: float = 10.0, resume: str = "program", progress: bool = True, precision: str = "float32", communicator: Any | None = None) -> None:  # fmt: skip
        as_choice(nonfinite, "Trainer: nonfinite", ("refuse", "drop", "redraw"))
        as_choice(overlap, "Trainer: overlap", ("auto", "on", "off"))
        as_choice(resume, "Trainer: resume", ("program", "state"))
        as_choice(precision, "Trainer: precision", ("float32", "bfloat16"))
        progress = progress if callable(progress) else as_flag(progress, "Trainer: progress")
        missing = [name for name in ("Get_rank", "Get_size", "Allgather") if not hasattr(communicator, name)]
        if communicator is not None and missing:
            raise ConfigurationError(f"Trainer: communicator must be one of mpi4py (MPI.COMM_WORLD) or have its {', '.join(missing)}; got {type(communicator).__name__}")
        if isinstance(generative_model, Amortizer):
            raise ConfigurationError(f"Trainer: the amortizer comes first, then the generative model; got a {type(amortizer).__name__} first: exchange them")
        if not isinstance(amortizer, Amortizer):
            raise ConfigurationError(f"Trainer: amortizer must be an AmortizedPosterior or another class of the module amortizers; got {type(amortizer).__name__}")
        if configurator is not None and not callable(configurator):
            raise ConfigurationError(f"Trainer: configurator must be callable, forward dictionary -> input dictionary; got {type(configurator).__name__}")
        if as_flag(skip_checks, "Trainer: skip_checks"):
            raise OperationNotSupportedError("Trainer: the check gives the networks their widths, so it cannot be skipped; leave skip_checks out (it costs two simulations)")
        if num_models is not None:
            as_count(num_models, "Trainer: num_models")
        if amortizer._has_adapter and (configurator is not None or memory):
            name = "configurator" if configurator is not None else "memory"
            raise ConfigurationError(f"Trainer: the amortizer has an adapter, which takes the place of a configurator; leave {name} out, or the adapter")
        self.simulation_memory = _memory(memory, memory_kwargs, checkpoint_path)
        self.optimizer = self._kept_optimizer = None  # that of the last call, if it is to be reused
        self.amortizer, self.generative_model = amortizer, generative_model
        default = AdapterConfigurator(amortizer) if amortizer._has_adapter else amortizer._default_configurator()
        self.configurator = default if configurator is None else configurator
        self.default_lr, self.seed, self.checkpoint_path = default_lr, seed, checkpoint_path
        self._own_configurator = configurator is not None and (not isinstance(configurator, type(default)) or getattr(configurator, "_own_combiner", False))
        wrapped = self._own_configurator or self.simulation_memory is not None
        is_multi = isinstance(generative_model, MultiGenerativeModel)
        own_models = getattr(amortizer, "num_models", None)
        self._forward = _Forward(generative_model.shared, generative_model.num_models, True) if is_multi else _Forward(SharedContext(), own_models) if own_models else _Forward()
        self._configurator = _Configurator(self.configurator, amortizer, self._forward, self.simulation_memory) if wrapped else None
        self._maker, model = self._engine_model(generative_model)
        self._progress, self._turn = TrainingProgress(progress), threading.Lock()
        self._trains, self._is_replaced = 0, False  # calls of training functions that go on
        self._rank = 0 if communicator is None else communicator.Get_rank()
        folder = "" if checkpoint_path is None or self._rank > 0 else os.path.realpath(as_path(checkpoint_path, "Trainer: checkpoint_path"))
        former = _of_folder.get(folder)
        if former is not None and former._trains == 0:  # a notebook's cell that is run again: the name still holds the trainer of the last time
            former._core.release_checkpoints()
            former._is_replaced = True
        self._core = _core.Trainer(
            amortizer._core, model, self._configurator, self._progress, 0.1, progress if callable(progress) else None, communicator, seed=seed, threads=threads,
            default_lr=default_lr, nonfinite={"action": nonfinite, "max_share": max_dropped_share}, overlap=overlap,
            checkpoint_path="" if checkpoint_path is None else as_path(checkpoint_path, "Trainer: checkpoint_path"), max_to_keep=max_to_keep,
            checkpoint_minutes=checkpoint_minutes, resume=resume, precision=precision,
        )  # fmt: skip
        if folder:
            _of_folder[folder] = self

    def _engine_model(self, model):
        if model is None:
            return None, None
        if isinstance(model, Model):
            if model._maker is None or model._is_native:
                return None, model._core
            maker, names, name = _TrainingModel(model._maker.forward, self._forward.to_core), model.param_names or [], model.name
            traits = model._traits()
        elif callable(model):
            takes_arguments = lambda batch_size, streams, first, prior_context, sim_context, **arguments: model(batch_size, **arguments)  # noqa: E731
            maker = _TrainingModel(takes_arguments, self._forward.to_core)
            two = model(2)
            self._forward.to_core(two)
            contextual = any(two.get(key) is not None for key in ("prior_non_batchable_context", "sim_non_batchable_context"))
            traits = {"one_context_per_batch": contextual, "depends_on_batch": True, "reproducible": False}
            names, name = [], getattr(model, "__name__", "anonymous")
        else:
            raise ConfigurationError(f"Trainer: generative_model must be a GenerativeModel or a callable; got {type(model).__name__}")
        return maker, _core.GenerativeModel(maker, names, **traits, name=name, seed=0, skip_test=True)

    def __repr__(self):
        model, history = self.generative_model, self.loss_history
        name = "no model" if model is None else f"model {model.name!r}" if isinstance(model, Model) else f"model {name_of(model)}"
        kept = "" if self.checkpoint_path is None else f", kept in {str(self.checkpoint_path)!r}"
        return f"<Trainer of {self.amortizer._learns()}, {name}, seed {self.seed}{kept}: {history._in_words()}>"

    # --- modes ---

    def train_online(self, epochs: int, iterations_per_epoch: int, batch_size: int, save_checkpoint: bool = True,
                     optimizer: Adam | AdamW | SGD | None = None, reuse_optimizer: bool = False, early_stopping: bool = False,
                     use_autograph: bool = True, validation_sims: int | Simulations | None = None, *, lr_adjuster: RegressionLRAdjuster | None = None,
                     model_args: Settings | None = None, conf_args: Settings | None = None, net_args: Settings | None = None,
                     val_model_args: Settings | None = None, val_conf_args: Settings | None = None,
                     early_stopping_args: Settings | None = None) -> DataFrame | dict[str, DataFrame]:  # fmt: skip
        """Simulates every batch afresh. The parameters that other training functions have too mean the same there.

        Parameters
        ----------
        epochs, iterations_per_epoch, batch_size : int
        optimizer : optimizers.Adam, AdamW or SGD, optional
        reuse_optimizer : bool
            The optimizer stays for the next call (`trainer.optimizer`), with its moments; its schedule starts anew.
        early_stopping : bool
            Ends when the validation loss has not fallen for `early_stopping_args["patience"]` epochs (default 5) by at least
            "min_improvement" (default 0.001); the best epoch's weights are restored.
        validation_sims : int or dict, optional
            Data sets for a validation loss after each epoch: a number to simulate once, or a forward dictionary.
        lr_adjuster : helper_classes.RegressionLRAdjuster, optional
            Lowers the learning rate where the loss no longer falls.
        model_args, conf_args : dict, optional
            Arguments of the model ({"prior_args": {...}, "sim_args": {...}}) and of the configurator, for every batch.
        use_autograph : bool
            Has no meaning here: there is nothing to compile. It is taken so that programs for v1 run.

        Returns
        -------
        The losses of all runs: a DataFrame (steps x components), or with validation {"train_losses": ..., "val_losses": ...}.
        Ctrl-C ends the run after the present step and raises KeyboardInterrupt; weights, `loss_history` and checkpoint are those of that step.
        """
        run = dict(epochs=epochs, iterations_per_epoch=iterations_per_epoch, batch_size=batch_size)
        return self._train("train_online", run, save_checkpoint, optimizer, reuse_optimizer, early_stopping, validation_sims, lr_adjuster, model_args,
                           conf_args, net_args, val_model_args, val_conf_args, early_stopping_args)  # fmt: skip

    def train_offline(self, simulations_dict: Simulations | Sequence[Simulations] | SimulationStore | Path, epochs: int, batch_size: int, save_checkpoint: bool = True,
                      optimizer: Adam | AdamW | SGD | None = None, reuse_optimizer: bool = False, early_stopping: bool = False,
                      validation_sims: int | Simulations | None = None, use_autograph: bool = True, *, validation_split: float = 0.0,
                      lr_adjuster: RegressionLRAdjuster | None = None, conf_args: Settings | None = None, net_args: Settings | None = None, val_model_args: Settings | None = None,
                      val_conf_args: Settings | None = None, early_stopping_args: Settings | None = None) -> DataFrame | dict[str, DataFrame]:  # fmt: skip
        """Passes over given simulations, all rows in a new order each epoch, the last batch kept.

        `simulations_dict`: a forward dictionary, a list of them (their contexts and shapes may differ), a SimulationStore, or the path of a file of
        simulations, which may be larger than memory. `validation_split`: this share of the simulations (0.1, say), drawn at random by the seed, is held
        out for the validation loss, in the place of `validation_sims`.
        """
        split = as_number(validation_split, "train_offline: validation_split")
        run = dict(data=self._offline_data(simulations_dict), epochs=epochs, batch_size=batch_size, validation_split=split)
        return self._train("train_offline", run, save_checkpoint, optimizer, reuse_optimizer, early_stopping, validation_sims, lr_adjuster, None,
                           conf_args, net_args, val_model_args, val_conf_args, early_stopping_args)  # fmt: skip

    def _offline_data(self, data):
        if isinstance(data, SimulationStore):
            return data.path
        if isinstance(data, dict):
            return [self._forward.to_core(data)]
        if isinstance(data, (list, tuple)):
            return [self._forward.to_core(part) for part in data]
        return as_path(data, "train_offline: simulations_dict, if it is no dictionary,")

    def train_from_presimulation(self, presimulation_path: Path, optimizer: Adam | AdamW | SGD | None = None, save_checkpoint: bool = True,
                                 max_epochs: int | None = None, reuse_optimizer: bool = False, custom_loader: Function | None = None,
                                 early_stopping: bool = False, validation_sims: int | Simulations | None = None, use_autograph: bool = True, *,
                                 batch_size: int = 32, lr_adjuster: RegressionLRAdjuster | None = None, conf_args: Settings | None = None,
                                 net_args: Settings | None = None, val_model_args: Settings | None = None, val_conf_args: Settings | None = None,
                                 early_stopping_args: Settings | None = None) -> DataFrame | dict[str, DataFrame]:  # fmt: skip
        """Trains on stored simulations in stored order: one epoch per file of a folder, in the order of the numbers in their names.

        `custom_loader`: path -> list of forward dictionaries, for files of other kinds (v1's pickles, say); `max_epochs`: fewer files, or more by going
        round; `batch_size`: rows that make a step.
        """
        if custom_loader is not None and not callable(custom_loader):
            raise ConfigurationError(f"train_from_presimulation: custom_loader must be a function of a path; got {type(custom_loader).__name__}")
        loader = None if custom_loader is None else lambda path: [self._forward.to_core(part) for part in _as_list(custom_loader(path))]
        epochs = 0 if max_epochs is None else as_count(max_epochs, "train_from_presimulation: max_epochs")
        path = as_path(presimulation_path, "train_from_presimulation: presimulation_path")
        run = dict(path=path, batch_size=batch_size, max_epochs=epochs, loader=loader)
        return self._train("train_from_presimulation", run, save_checkpoint, optimizer, reuse_optimizer, early_stopping, validation_sims, lr_adjuster,
                           None, conf_args, net_args, val_model_args, val_conf_args, early_stopping_args)  # fmt: skip

    def train_experience_replay(self, epochs: int, iterations_per_epoch: int, batch_size: int, save_checkpoint: bool = True,
                                optimizer: Adam | AdamW | SGD | None = None, reuse_optimizer: bool = False, buffer_capacity: int = 1000,
                                early_stopping: bool = False, use_autograph: bool = True, validation_sims: int | Simulations | None = None, *,
                                lr_adjuster: RegressionLRAdjuster | None = None, model_args: Settings | None = None, conf_args: Settings | None = None,
                                net_args: Settings | None = None, val_model_args: Settings | None = None, val_conf_args: Settings | None = None,
                                early_stopping_args: Settings | None = None) -> DataFrame | dict[str, DataFrame]:  # fmt: skip
        """Each iteration simulates a batch, stores it over the oldest of the buffer (`buffer_capacity` batches), and trains on any of those stored, all
        equally likely. The buffer lives on over calls."""
        run = dict(epochs=epochs, iterations_per_epoch=iterations_per_epoch, batch_size=batch_size, buffer_capacity=buffer_capacity)
        return self._train("train_experience_replay", run, save_checkpoint, optimizer, reuse_optimizer, early_stopping, validation_sims, lr_adjuster,
                           model_args, conf_args, net_args, val_model_args, val_conf_args, early_stopping_args)  # fmt: skip

    def train_rounds(self, rounds: int, sim_per_round: int, epochs: int, batch_size: int, save_checkpoint: bool = True,
                     optimizer: Adam | AdamW | SGD | None = None, reuse_optimizer: bool = False, early_stopping: bool = False,
                     use_autograph: bool = True, validation_sims: int | Simulations | None = None, *, lr_adjuster: RegressionLRAdjuster | None = None,
                     model_args: Settings | None = None, conf_args: Settings | None = None, net_args: Settings | None = None,
                     val_model_args: Settings | None = None, val_conf_args: Settings | None = None,
                     early_stopping_args: Settings | None = None) -> DataFrame | dict[str, DataFrame]:  # fmt: skip
        """Each round adds `sim_per_round` simulations to all earlier ones and passes `epochs` times over them, with one optimizer over all rounds."""
        run = dict(rounds=rounds, sim_per_round=sim_per_round, epochs=epochs, batch_size=batch_size)
        return self._train("train_rounds", run, save_checkpoint, optimizer, reuse_optimizer, early_stopping, validation_sims, lr_adjuster, model_args,
                           conf_args, net_args, val_model_args, val_conf_args, early_stopping_args)  # fmt: skip

    def _train(self, mode, run, save_checkpoint, optimizer, reuse_optimizer, early_stopping, validation_sims, lr_adjuster, model_args, conf_args,
               net_args, val_model_args, val_conf_args, early_stopping_args):  # fmt: skip
        if self._is_replaced:
            raise ConfigurationError(
                f"{mode}: another Trainer was made for the checkpoint folder {str(self.checkpoint_path)!r}, and has it now; train with that one, or make one anew"
            )
        given = dict(model_args=model_args, conf_args=conf_args, net_args=net_args, val_model_args=val_model_args, val_conf_args=val_conf_args)
        for name, value in {**given, "early_stopping_args": early_stopping_args}.items():
            as_arguments(value, f"{mode}: {name}")
        for name in ("epochs", "iterations_per_epoch", "batch_size", "rounds", "sim_per_round", "buffer_capacity"):
            if name in run and (not is_whole(run[name]) or run[name] < 1):
                raise ConfigurationError(f"{mode}: {name} must be a positive integer; got {shown(run[name])}")
        save_checkpoint, early_stopping = as_flag(save_checkpoint, f"{mode}: save_checkpoint"), as_flag(early_stopping, f"{mode}: early_stopping")
        if not save_checkpoint and self.checkpoint_path is not None:
            raise OperationNotSupportedError(f"{mode}: with a checkpoint_path every run is kept; make a Trainer without one for runs that are not")
        if net_args:
            raise OperationNotSupportedError(f"{mode}: networks take no further arguments; got net_args = {net_args}")
        if val_conf_args and val_conf_args != (conf_args or {}):
            raise OperationNotSupportedError(f"{mode}: validation passes through the configurator with conf_args, like training; leave val_conf_args out")
        if early_stopping_args and not early_stopping:
            raise ConfigurationError(f"{mode}: early_stopping_args have no effect without early_stopping=True")
        if model_args and self._maker is None:
            raise ConfigurationError(f"{mode}: model_args need a generative model of Python functions")
        if model_args and isinstance(self.generative_model, GenerativeModel) and not set(model_args) <= {"prior_args", "sim_args"}:
            raise ConfigurationError(f'{mode}: model_args of a GenerativeModel are {{"prior_args": {{...}}, "sim_args": {{...}}}}; got the keys {sorted(model_args)}')
        if conf_args and not self._own_configurator:
            raise ConfigurationError(f"{mode}: conf_args need a configurator of your own; the default one takes none")
        run["validation_sims"] = self._validation(validation_sims, val_model_args)
        optimizer = self._kept_optimizer if optimizer is None else optimizer
        run["optimizer"] = options_of(optimizer)
        run["reuse_optimizer"] = as_flag(reuse_optimizer, f"{mode}: reuse_optimizer")
        run["early_stopping"] = _early_stopping(early_stopping_args or {}) if early_stopping else None
        run["lr_adjuster"] = _adjuster(lr_adjuster)
        if not self._turn.acquire(blocking=False):
            raise ConfigurationError(
                f"Trainer.{mode}: this trainer is training already, in another thread or in the function that makes this call; wait for its end, or make "
                "another trainer with an amortizer of its own"
            )
        if self._maker is not None:
            self._maker.arguments = model_args or {}
        if self._configurator is not None:
            self._configurator.arguments, self._configurator.rows = conf_args or {}, run["batch_size"]
        _training.append(threading.get_ident())
        self._trains += 1
        try:
            summary = getattr(self._core, mode)(**run)
        finally:
            self._trains -= 1
            _training.remove(threading.get_ident())
            self._progress.close()
            if self._maker is not None:
                self._maker.arguments = {}
            if self._configurator is not None:
                self._configurator.arguments, self._configurator.rows = {}, None
            self._turn.release()
        self._kept_optimizer = optimizer if run["reuse_optimizer"] else None
        self.optimizer = (Adam() if optimizer is None else optimizer) if run["reuse_optimizer"] else None
        if self.simulation_memory is not None and self.checkpoint_path is not None and self._rank == 0:
            self.simulation_memory.save_to_file(self.checkpoint_path)
        self.amortizer._trained = self._facts()
        if summary.stop == "interrupted":
            _tell_main_thread()
            raise KeyboardInterrupt(f"{summary.reason} The losses so far are in trainer.loss_history.")
        if summary.stop != "completed":
            logger.info("%s", summary.reason)
        return self.loss_history.get_plottable()

    def _facts(self):
        """For model files: losses are those of the last epoch, with the summary loss, without weight decay."""
        runs = self.runs
        train, validation = runs[-1].train_losses, runs[-1].val_losses
        last = train[-runs[-1].steps_per_epoch[-1] :] if runs[-1].steps_per_epoch else train
        return {
            "simulations": sum(run.simulations for run in runs),
            "final_loss": float(last[:, :2].sum(axis=1).mean()) if len(last) else None,
            "final_validation_loss": float(validation[-1, :2].sum()) if len(validation) else None,
            "seed": runs[-1].seed,
        }

    def _validation(self, sims, val_model_args):
        if sims is None:
            if val_model_args:
                raise ConfigurationError("val_model_args have no effect without validation_sims")
            return None
        if isinstance(sims, dict):
            return self._forward.to_core(sims)
        if not is_whole(sims) or sims < 1:
            raise ConfigurationError(f"validation_sims must be a positive number of simulations, a forward dictionary or None; got {shown(sims)}")
        sims = as_count(sims, "validation_sims")
        if val_model_args:
            if self.generative_model is None:
                raise ConfigurationError("val_model_args need a generative model")
            return self._forward.to_core(self.generative_model(int(sims), **val_model_args))
        return int(sims)

    # --- afterwards ---

    @property
    def runs(self) -> list[Any]:
        """What each call so far did (seconds, simulations, reason of its end, ...), those of a checkpoint included."""
        return self._core.runs

    @property
    def loss_history(self) -> LossHistory:
        """Losses of all runs."""
        return LossHistory(runs=self.runs)

    def load_pretrained_network(self) -> bool:
        """Whether a checkpoint was found; the constructor has restored it by then."""
        return any(run.resumed for run in self.runs) or bool(self.runs)

    def diagnose_latent2d(self, inputs: Simulations | Sequence[Simulations] | None = None, *, conf_args: Settings | None = None, net_args: Settings | None = None,
                          plot_args: Settings | None = None) -> Figure:
        """The latents of `inputs` (a forward dictionary, or a list of them), of the simulation memory, or of 500 fresh simulations, as a pair grid; they
        should be standard normal. A Figure."""
        from .diagnostics import plot_latent_space_2d

        self._require_posterior("diagnose_latent2d")
        inputs = self._diagnosed(inputs, conf_args, net_args)
        z = np.concatenate([self.amortizer(part)[0] for part in inputs])
        return plot_latent_space_2d(z, **as_arguments(plot_args, "plot_args"))

    def diagnose_sbc_histograms(self, inputs: Simulations | Sequence[Simulations] | None = None, n_samples: int | None = None, *, conf_args: Settings | None = None,
                                net_args: Settings | None = None, plot_args: Settings | None = None) -> Figure:
        """Histograms of the ranks of the parameters of `inputs` (a forward dictionary, or a list of them), of the simulation memory, or of 500 fresh
        simulations, among `n_samples` posterior draws (default: a twentieth of the number of data sets, at least 20). A Figure."""
        from .diagnostics import plot_sbc_histograms

        self._require_posterior("diagnose_sbc_histograms")
        inputs = self._diagnosed(inputs, conf_args, net_args)
        truths = np.concatenate([part["parameters"] for part in inputs])
        count = max(20, -(-len(truths) // 20)) if n_samples is None else as_count(n_samples, "diagnose_sbc_histograms: n_samples")
        plot_args = {"param_names": getattr(self.generative_model, "param_names", None), **as_arguments(plot_args, "plot_args")}
        return plot_sbc_histograms(self.amortizer.sample_loop(inputs, count), truths, **plot_args)

    def _diagnosed(self, inputs, conf_args, net_args):
        """A list of configured batches."""
        if as_arguments(net_args, "net_args"):
            raise OperationNotSupportedError(f"networks take no further arguments; got net_args = {net_args}")
        arguments = as_arguments(conf_args, "conf_args")
        if inputs is None and self.simulation_memory is not None and self.simulation_memory.size_in_batches:
            return self.simulation_memory.get_memory()
        if inputs is None:
            if self.generative_model is None:
                raise ConfigurationError("without a generative model, give the simulations that are to be diagnosed")
            inputs = self.generative_model(500)
        if arguments and not self._own_configurator:
            raise ConfigurationError("conf_args need a configurator of your own; the default one takes none")
        if not len(_as_list(inputs)):
            raise ConfigurationError("the list of simulations that are to be diagnosed is empty")
        return [self.configurator(own(self._as_trained(part)), **arguments) for part in _as_list(inputs)]

    def _as_trained(self, simulations):
        """As training sees them: one number per simulation is one column, and what is not finite is left out, if `nonfinite` allows that."""
        if not isinstance(simulations, dict):
            return simulations
        simulations, data = dict(simulations), "sim_data" if simulations.get("sim_data") is not None else "obs_data"
        if simulations.get("prior_draws") is None or simulations.get(data) is None:
            return simulations  # observations, or dictionaries of the user's own
        for key in ("prior_draws", data):
            if np.ndim(simulations[key]) == 1:
                simulations[key] = as_float64(simulations[key], key)[:, None]
        fields = [as_float64(simulations.get(key), key) for key in ("prior_draws", data, "prior_batchable_context", "sim_batchable_context")]
        if all(field is None or np.isfinite(field).all() for field in fields):
            return simulations
        return {**simulations, **from_core(self._core.finite(to_core(simulations)))}

    def mmd_hypothesis_test(self, observed_data: Simulations, reference_data: Simulations | None = None, num_reference_simulations: int = 1000,
                            num_null_samples: int = 100, bootstrap: bool = False, *, alpha_level: float = 0.05,
                            seed: int = 0, progress: bool | None = None) -> MmdTestResult:  # fmt: skip
        """Are the observed data like those that the amortizer was trained on (Schmitt et al. 2023)?

        `observed_data`, `reference_data`: input dictionaries, or summary conditions (data sets). Returns (null distribution, observed), square roots of
        MMD^2 (biased, as v1's: `diagnostics.mmd_hypothesis_test` of the summaries); the object has `.p_value` and `.critical_value` too. `progress`: a bar; None: as in
        training.
        """
        self._require_posterior("mmd_hypothesis_test")
        if self.amortizer.summary_net is None:
            raise ConfigurationError(
                "mmd_hypothesis_test: it compares summaries, and this amortizer has no summary network; compare the data themselves by "
                "diagnostics.mmd_hypothesis_test(observed (n, d), reference (N, d))"
            )
        observed = observed_data if isinstance(observed_data, dict) else {"summary_conditions": observed_data}
        reference = reference_data.get("summary_conditions") if isinstance(reference_data, dict) else reference_data
        for name, value in (("observed_data", observed.get("summary_conditions")), ("reference_data", reference)):
            if value is None and (name == "observed_data" or reference_data is not None):
                raise ConfigurationError(f'mmd_hypothesis_test: {name} must be data sets (B, ...), or a dictionary with "summary_conditions"')
        if reference is None and self.generative_model is None:
            raise ArgumentError("mmd_hypothesis_test: it needs reference_data, or a trainer with a generative model")
        if self.amortizer.is_built:
            warn_of_foreign(self.amortizer.foreign(observed))
        batch = as_batch(observed, "observed_data: {}")
        with counted(num_null_samples, "MMD under the model", "sample", self._shows(progress, "mmd_hypothesis_test")) as report:
            test = self._core.mmd_hypothesis_test(
                batch, as_float64(reference, "reference_data"), num_reference_simulations, num_null_samples, bootstrap, alpha_level, seed, report
            )
        return MmdTestResult(test.mmd_null, test.mmd_observed, test.p_value, test.critical_value)


    def _require_posterior(self, what):
        if not isinstance(self.amortizer, AmortizedPosterior):
            raise OperationNotSupportedError(f"{what}: it is for trainers of an AmortizedPosterior; this trainer's amortizer is of class {self.amortizer._kind}")

    def _shows(self, progress, owner):
        return self._progress.shows if progress is None else as_flag(progress, f"{owner}: progress")


class MmdTestResult(tuple):
    """(null distribution, observed MMD), with the test's p-value and critical value."""

    def __new__(cls, null, observed, p_value, critical_value):
        self = super().__new__(cls, (null, observed))
        self.mmd_null, self.mmd_observed, self.p_value, self.critical_value = null, observed, p_value, critical_value
        return self


def _memory(memory, memory_kwargs, checkpoint_path):
    """v1's ways to say it: True, or a SimulationMemory."""
    arguments = as_arguments(memory_kwargs, "Trainer: memory_kwargs")
    if not isinstance(memory, SimulationMemory):
        if not as_flag(memory, "Trainer: memory"):
            if arguments:
                raise ConfigurationError("Trainer: memory_kwargs have no effect without memory=True")
            return None
        memory = SimulationMemory(**arguments)
    elif arguments:
        raise ConfigurationError("Trainer: memory_kwargs belong to memory=True; the given SimulationMemory has its own")
    if checkpoint_path is not None:
        memory.load_from_file(as_path(checkpoint_path, "Trainer: checkpoint_path"))
    return memory


def _as_list(value):
    return value if isinstance(value, (list, tuple)) else [value]


def _early_stopping(arguments):
    return _core.EarlyStoppingOptions(**{("min_improvement" if key == "tolerance" else key): value for key, value in arguments.items()})


def _adjuster(adjuster):
    if adjuster is None:
        return None
    if not isinstance(adjuster, RegressionLRAdjuster):
        raise ConfigurationError(f"lr_adjuster must be a helper_classes.RegressionLRAdjuster or None; got {type(adjuster).__name__}")
    return adjuster._core

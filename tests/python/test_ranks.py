"""Training on several processes: results, failures, decisions are those of one."""

import importlib.util
import os
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest

import bayesflow_cpp as bf


class Ranks:
    """Communicators of threads of this process."""

    def __init__(self, size):
        self.size, self.meet, self.blocks = size, threading.Barrier(size), [None] * size

    def run(self, program):
        results = [None] * self.size

        def one(rank):
            try:
                results[rank] = program(self.Communicator(self, rank))
            except Exception as error:
                results[rank] = error

        threads = [threading.Thread(target=one, args=(rank,)) for rank in range(self.size)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results

    class Communicator:
        def __init__(self, ranks, rank):
            self.ranks, self.rank = ranks, rank

        def Get_rank(self):
            return self.rank

        def Get_size(self):
            return self.ranks.size

        def Allgather(self, mine, everyones):
            self.ranks.blocks[self.rank] = bytes(mine)
            self.ranks.meet.wait(120)
            everyones[:] = b"".join(self.ranks.blocks)
            self.ranks.meet.wait(120)

    class WithAlltoallv(Communicator):
        def Alltoallv(self, sent, received):
            (block, (counts, offsets)), (to, (given, places)) = sent, received
            self.ranks.blocks[self.rank] = [bytes(block[at : at + n]) for n, at in zip(counts, offsets)]
            self.ranks.meet.wait(120)
            for other, (n, at) in enumerate(zip(given, places)):
                to[at : at + n] = self.ranks.blocks[other][self.rank]
            self.ranks.meet.wait(120)


def model(batched=False):
    prior = bf.simulation.Prior(prior_fun=lambda rng: rng.normal(size=2))
    if batched:
        simulator = bf.simulation.Simulator(batch_simulator_fun=lambda theta, rng: rng.normal(size=(len(theta), 10, 2)) + theta[:, None])
    else:
        simulator = bf.simulation.Simulator(simulator_fun=lambda theta, rng: rng.normal(theta, size=(10, 2)))
    return bf.simulation.GenerativeModel(prior, simulator, skip_test=True)


def trainer(communicator=None, generative_model=None, **settings):
    amortizer = bf.amortizers.AmortizedPosterior(bf.networks.InvertibleNetwork(2, 2), bf.networks.DeepSet(summary_dim=4))
    return bf.trainers.Trainer(
        amortizer, generative_model or model(), communicator=communicator, **{"seed": 3, "threads": 1, "progress": False, **settings}
    )


def outcome(trainer):
    history = trainer.loss_history
    draws = trainer.amortizer.sample({"summary_conditions": np.ones((3, 10, 2))}, 50, seed=1)
    return [np.asarray(numbers).tobytes() for numbers in (history.total_loss, history.total_val_loss, draws)]


@pytest.mark.parametrize("batched", [False, True])
def test_any_number_of_ranks_gives_the_same_bits(batched):
    def program(communicator=None):
        t = trainer(communicator, model(batched))
        t.train_online(2, 3, 40, validation_sims=20)
        return outcome(t)

    alone = program()
    for size in (1, 2, 3):
        assert Ranks(size).run(program) == [alone] * size


def test_with_all_to_all(monkeypatch):
    monkeypatch.setattr(Ranks, "Communicator", Ranks.WithAlltoallv)
    data = model()(60)

    def program(communicator=None):
        t = trainer(communicator)
        t.train_offline(data, 2, 30)
        return outcome(t)

    assert Ranks(2).run(program) == [program()] * 2


def test_any_number_of_ranks_resumes(tmp_path):
    def program(communicator=None, fails=False):
        def progress(state):
            assert communicator is None or communicator.Get_rank() == 0
            if fails and state.epochs == 2 and state.epoch == 2:
                raise OSError("no more paper")

        settings = {} if communicator is None else {"checkpoint_path": tmp_path}
        t = trainer(communicator, progress=progress, **settings)
        t.train_online(1, 4, 40)
        t.train_online(2, 3, 40)
        return outcome(t)

    first, *others = Ranks(3).run(lambda communicator: program(communicator, fails=True))
    assert isinstance(first, OSError) and ["rank 0 of 3 failed: " in str(error) and "no more paper" in str(error) for error in others] == [True, True]
    assert Ranks(2).run(program) == [program()] * 2


def test_a_failure_of_one_ends_all():
    def program(communicator):
        def simulator(theta, rng):
            simulator.calls += 1
            if communicator.Get_rank() == 1 and simulator.calls > 40:
                raise ValueError("out of ink")
            return rng.normal(theta, size=(10, 2))

        simulator.calls = 0
        prior = bf.simulation.Prior(prior_fun=lambda rng: rng.normal(size=2))
        t = trainer(communicator, bf.simulation.GenerativeModel(prior, bf.simulation.Simulator(simulator_fun=simulator), skip_test=True))
        t.train_online(2, 10, 20)

    errors = Ranks(3).run(program)
    assert all("out of ink" in str(error) for error in errors)
    assert [str(error).startswith("rank 1 of 3 failed: ") for error in errors] == [True, False, True]


def test_what_is_no_communicator_is_an_error():
    with pytest.raises(bf.exceptions.ConfigurationError, match="communicator must be one of mpi4py .* Get_rank, Get_size, Allgather; got int"):
        trainer(3)


def test_a_callback_sees_each_step_and_may_stop(tmp_path):
    seen = []

    def callback(state):
        seen.append((state.epoch, state.iteration, state.epoch_done, sorted(state.losses), state.validation is not None))
        assert state.epochs == 3 and state.iterations == 4 and state.learning_rate > 0 and "epoch" in repr(state)
        return False if state.epoch == 2 and state.iteration == 2 else None

    t = trainer(progress=callback)
    t.train_online(3, 4, 10, validation_sims=10)
    steps = [(1, 1), (1, 2), (1, 3), (1, 4), (2, 1), (2, 2)]
    assert [s[:2] for s in seen if not s[2]] == steps and [s[:2] for s in seen if s[4]][0] == (1, 4)
    assert t.runs[-1].stop == "stopped_by_callback" and len(t.loss_history.total_loss) == 6

    def fails(state):
        if state.epoch == 2 and state.iteration == 2:
            raise OSError("no more paper")

    with pytest.raises(OSError, match="no more paper"):
        trainer(progress=fails, checkpoint_path=tmp_path).train_online(3, 4, 10, validation_sims=10)
    resumed = trainer(checkpoint_path=tmp_path)
    resumed.train_online(3, 4, 10, validation_sims=10)
    alone = trainer()
    alone.train_online(3, 4, 10, validation_sims=10)
    assert outcome(resumed) == outcome(alone) and resumed.runs[-1].resumed == 1
    with pytest.raises(bf.exceptions.ConfigurationError, match="must return True or None to go on, or False"):
        trainer(progress=lambda state: "yes").train_online(1, 2, 10)


PROGRAM = """
import hashlib, sys
from mpi4py import MPI
sys.path.insert(0, sys.argv[1])
from test_ranks import outcome, trainer
t = trainer(MPI.COMM_WORLD)
t.train_online(2, 3, 40, validation_sims=20)
all_of_them = MPI.COMM_WORLD.gather(hashlib.sha256(b"".join(outcome(t))).hexdigest())
if MPI.COMM_WORLD.Get_rank() == 0:
    print(MPI.COMM_WORLD.Get_size(), *sorted(set(all_of_them)))
"""


@pytest.mark.skipif(importlib.util.find_spec("mpi4py") is None or shutil.which("mpirun") is None, reason="no mpi4py, or no mpirun")
def test_mpi4py():
    environment = {
        **os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_rmaps_base_oversubscribe": "1",
        "OMPI_MCA_mpi_yield_when_idle": "1",
    }  # fmt: skip
    results = set()
    for ranks in (1, 2, 4):
        command = ["mpirun", "-n", str(ranks), sys.executable, "-c", PROGRAM, os.path.dirname(__file__)]
        out = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        assert out.returncode == 0, out.stderr
        size, *hashes = out.stdout.split()
        assert size == str(ranks) and len(hashes) == 1
        results.add(hashes[0])
    assert len(results) == 1

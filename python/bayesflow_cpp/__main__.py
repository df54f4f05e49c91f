"""Simulations by independent jobs, of a cluster or by hand:

    python -m bayesflow_cpp simulate model.py:model --folder sims --total 100000 --jobs 100 --job 7
    python -m bayesflow_cpp collect sims store.h5

Each job makes its own range of the simulations. One that was killed is run again with the same arguments and goes on where it was; one that has
finished does nothing. The collected file is, byte for byte, that of one process with the same seed and batch size. docs/clusters.md.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import re
import sys
from pathlib import Path

from .exceptions import BayesFlowError, ConfigurationError
from .simulation import join_simulations
from .simulation.model import Model

_PART = re.compile(r"part-(\d+)-of-(\d+)\.h5")


def load_model(where):
    """The generative model `name` of "file.py:name" or "package.module:name"."""
    source, _, name = where.rpartition(":")
    if not source or not name:
        raise ConfigurationError(f'the model must be given as file.py:name or package.module:name; got "{where}"')
    if source.endswith(".py"):
        path = Path(source).resolve()
        if not path.exists():
            raise ConfigurationError(f'there is no file "{source}"; the model must be given as file.py:name or package.module:name')
        sys.path.insert(0, str(path.parent))
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module  # as which worker processes import it
        spec.loader.exec_module(module)
    else:
        sys.path.insert(0, os.getcwd())
        module = importlib.import_module(source)
    model = getattr(module, name, None)
    if not isinstance(model, Model):
        raise ConfigurationError(f"{source} must have a generative model named {name}; it has {'no such name' if model is None else f'a {type(model).__name__}'}")
    return model


def range_of(job, jobs, total, batch_size):
    """First simulation and count of a job: whole batches, as evenly as they can be spread."""
    batches = -(-total // batch_size)
    begin, end = (min(total, batch_size * (batches * k // jobs)) for k in (job, job + 1))
    return begin, end - begin


def part_path(folder, job, jobs):
    return Path(folder) / f"part-{job:05d}-of-{jobs:05d}.h5"


def simulate(arguments):
    if not 0 <= arguments.job < arguments.jobs:
        raise ConfigurationError(f"--job must be one of 0 to {arguments.jobs - 1} (--array=0-{arguments.jobs - 1}); got {arguments.job}")
    if arguments.jobs > -(-arguments.total // arguments.batch_size):
        raise ConfigurationError(f"--jobs must be at most the number of batches, {-(-arguments.total // arguments.batch_size)}; got {arguments.jobs}")
    first, count = range_of(arguments.job, arguments.jobs, arguments.total, arguments.batch_size)
    model = load_model(arguments.model)
    Path(arguments.folder).mkdir(parents=True, exist_ok=True)
    path = part_path(arguments.folder, arguments.job, arguments.jobs)
    done = model.presimulate(
        path, count, seed=arguments.seed, batch_size=arguments.batch_size, precision=arguments.precision, threads=arguments.threads,
        nonfinite=arguments.nonfinite, max_share=arguments.max_share, progress=arguments.progress, first=first,
    )  # fmt: skip
    print(f"job {arguments.job} of {arguments.jobs}: simulations {first} to {first + count - 1} are in {path}; {done['found']} of them were there before")


def collect(arguments):
    names = sorted(name for name in os.listdir(arguments.folder) if _PART.fullmatch(name))
    jobs = {int(_PART.fullmatch(name)[2]) for name in names}
    if len(jobs) != 1:
        raise ConfigurationError(f"{arguments.folder} must have the parts of one set of jobs; it has {f'those of {sorted(jobs)} jobs' if jobs else 'none'}")
    (jobs,) = jobs
    missing = sorted(set(range(jobs)) - {int(_PART.fullmatch(name)[1]) for name in names})
    if missing:
        raise ConfigurationError(f"{len(missing)} of {jobs} jobs have written nothing; run them again: --array={','.join(map(str, missing))}")
    count = join_simulations([os.path.join(arguments.folder, name) for name in names], arguments.store)
    print(f"{count} simulations of {jobs} jobs are in {arguments.store}")


def parser():
    out = argparse.ArgumentParser(prog="python -m bayesflow_cpp", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = out.add_subparsers(dest="command", required=True, metavar="{simulate,collect}")
    make = commands.add_parser("simulate", help="make one job's share of a set of simulations")
    make.add_argument("model", help="file.py:name or package.module:name of a generative model")
    make.add_argument("--folder", required=True, help="where all jobs write")
    make.add_argument("--total", type=_positive, required=True, help="simulations of all jobs together")
    make.add_argument("--jobs", type=_positive, required=True, help="how many jobs there are")
    known = os.environ.get("SLURM_ARRAY_TASK_ID")
    make.add_argument("--job", type=int, default=known, required=known is None, help="number of this job, from 0 on; by default SLURM_ARRAY_TASK_ID")
    make.add_argument("--seed", type=int, default=0)
    make.add_argument("--batch-size", type=_positive, default=32, help="simulations of a stored batch: what a kill costs at most, and those that share a non-batchable context")
    make.add_argument("--precision", choices=("float64", "float32"), default="float64")
    make.add_argument("--threads", type=int, default=0, help="of compiled simulators; 0: all cores")
    make.add_argument("--nonfinite", choices=("refuse", "drop", "redraw"), default="refuse")
    make.add_argument("--max-share", type=float, default=0.1, help="of simulations that may be dropped or redrawn")
    make.add_argument("--progress", action="store_true", help="show a progress bar")
    make.set_defaults(run=simulate)
    join = commands.add_parser("collect", help="make one file of the parts of all jobs")
    join.add_argument("folder", help="where the jobs have written")
    join.add_argument("store", help="the file to write")
    join.set_defaults(run=collect)
    return out


def _positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1; got {text}")
    return value


def main(arguments=None):
    arguments = parser().parse_args(arguments)
    try:
        arguments.run(arguments)
    except (BayesFlowError, OSError) as error:
        sys.exit(f"bayesflow_cpp {arguments.command}: {error}")


if __name__ == "__main__":
    main()

"""`fit` on the ten problems of sbibm: C2ST against its reference posteriors, and times. Rows that the CSV file holds already are not measured again."""

import argparse

import bayesflow_cpp as bf


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="+", help="all ten, if not told")
    parser.add_argument("--simulations", nargs="+", type=int, default=[1_000, 10_000, 100_000])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--observations", nargs="+", type=int, default=[1, 2, 3, 4, 5])
    parser.add_argument("--path", help="folder of sbibm's files; where it is installed, if not told")
    parser.add_argument("--output", help="CSV file")
    parser.add_argument("--threads", type=int, default=0)
    rows = bf.benchmarks.run(**vars(parser.parse_args()))
    table = rows.groupby(["task", "simulations"], sort=False)
    columns = ["c2st", "log_score", "fit_seconds", "fit_cpu_seconds", "sample_seconds"]
    print(table[columns].mean().join(table.c2st.std().rename("sd of c2st over seeds")).round(3).to_string())


if __name__ == "__main__":
    main()

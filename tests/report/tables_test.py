#!/usr/bin/env python3
"""The report's tables.h5, read by h5py alone: tables_test.py MAKE_PAGE. Every column is the exported CSV's, to the last bit."""
import csv
import pathlib
import subprocess
import sys
import tempfile

try:
    import h5py
except ImportError:
    print("h5py is not installed (Debian: python3-h5py); skipped")
    sys.exit(77)

if len(sys.argv) != 2:
    sys.exit(__doc__)
with tempfile.TemporaryDirectory() as work:
    data = pathlib.Path(work, "data")
    subprocess.run([sys.argv[1], pathlib.Path(work, "page.html"), data, "4"], check=True)
    compared = texts = 0
    with h5py.File(data / "tables.h5", "r") as f:
        assert f.attrs["bayesflow_format"] == "tables" and f.attrs["bayesflow_format_version"] == 1
        places = dict(zip(f.attrs["columns"], f.attrs["datasets"]))
        for path in sorted(data.glob("*.csv")):
            with path.open(newline="") as file:
                header, *rows = csv.reader(file)
            for column, shown in zip(header, zip(*rows)):
                stored = f[places.pop(f"{path.stem}/{column}")]
                if stored.dtype.kind == "f":
                    # repr tells every double from its neighbours, and "nan" from numbers.
                    assert [repr(float(v)) for v in shown] == [repr(float(v)) for v in stored[()]], (path.name, column)
                else:
                    assert list(shown) == [v.rstrip("\0") for v in stored.asstr()[()]], (path.name, column)
                    texts += 1
                compared += 1
        # What is in no CSV file are tables without rows.
        assert all(f[place].shape == (0,) for place in places.values()), places
    assert compared > 60 and texts > 10, (compared, texts)
print(f"{compared} columns are the same in HDF5 and CSV")

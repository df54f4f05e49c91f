/// Numbers in a uniform form: every result of the diagnostics layer has `tables()`, so one writer serves them all.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace bayesflow::diagnostics {

/// A number estimated from a finite number of data sets or draws, with its Monte-Carlo standard error (NaN where there is none).
struct Estimate {
  double value = 0;
  double standard_error = 0;
};

/// A named column of numbers or of texts.
struct Column {
  std::string name;
  std::variant<std::vector<double>, std::vector<std::string>> values;
  [[nodiscard]] std::int64_t size() const;
};

/// Named columns of equal length.
struct Table {
  std::string name;
  std::vector<Column> columns;
  [[nodiscard]] std::int64_t rows() const;
  /// The column of that name; throws ArgumentError naming those that exist.
  [[nodiscard]] const Column& column(const std::string& column_name) const;
};

/// RFC 4180: a header line, 17 significant digits, texts quoted where needed; "nan", "inf" and "-inf" for numbers that are not finite.
[[nodiscard]] std::string to_csv(const Table& table);
/// {"table": {"column": [...], ...}, ...}; numbers that are not finite become null, text is escaped.
[[nodiscard]] std::string to_json(std::span<const Table> tables);
/// Writes one file; IoError (with the path and the cause) if it cannot.
void write_csv(const Table& table, const std::string& path);
void write_json(std::span<const Table> tables, const std::string& path);
/// Writes one HDF5 file, whole or not at all: a group for each table, a dataset in it for each column (float64, or texts in UTF-8), equal
/// tables as equal bytes. "/" and the zero character become "_", and a name that is taken gets "_2". The attribute "columns" lists
/// "<table>/<column>", as they are called here and in this order; "datasets" lists where each of them is. Layout: docs/files.md.
void write_hdf5(std::span<const Table> tables, const std::string& path);

/// "theta_1", ..., "theta_P": what parameters are called where no names are given.
[[nodiscard]] std::vector<std::string> default_param_names(std::int64_t count);

}  // namespace bayesflow::diagnostics

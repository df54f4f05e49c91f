#include "bayesflow/diagnostics/table.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>

#include "diagnostics/numbers.hpp"
#include "io/archive.hpp"
#include "io/atomic_file.hpp"
#include "io/json_text.hpp"

namespace bayesflow::diagnostics {
namespace {

std::string csv_text(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + '"';
}

/// A name that HDF5 can hold and that is not in use yet.
std::string link_name(std::string name, std::set<std::string>& used) {
  for (char& c : name)
    if (c == '/' || c == '\0') c = '_';
  if (name.empty() || name == ".") name = "_";
  std::string out = name;
  for (int n = 2; !used.insert(out).second; ++n) out = fmt::format("{}_{}", name, n);
  return out;
}

}  // namespace

std::int64_t Column::size() const {
  return std::visit([](const auto& v) { return static_cast<std::int64_t>(v.size()); }, values);
}

std::int64_t Table::rows() const { return columns.empty() ? 0 : columns.front().size(); }

const Column& Table::column(const std::string& column_name) const {
  std::string known;
  for (const Column& c : columns) {
    if (c.name == column_name) return c;
    known += (known.empty() ? "" : ", ") + c.name;
  }
  throw ArgumentError(fmt::format("table {} has no column {}; it has {}", name, column_name, known));
}

std::string to_csv(const Table& table) {
  fmt::memory_buffer out;
  for (std::size_t c = 0; c < table.columns.size(); ++c)
    fmt::format_to(std::back_inserter(out), "{}{}", c ? "," : "", csv_text(table.columns[c].name));
  out.push_back('\n');
  for (std::int64_t r = 0; r < table.rows(); ++r) {
    for (std::size_t c = 0; c < table.columns.size(); ++c) {
      if (c) out.push_back(',');
      const Column& column = table.columns[c];
      if (const auto* numbers = std::get_if<std::vector<double>>(&column.values))
        fmt::format_to(std::back_inserter(out), "{}", (*numbers)[index(r)]);  // the shortest text that reads back as the same number
      else
        fmt::format_to(std::back_inserter(out), "{}", csv_text(std::get<std::vector<std::string>>(column.values)[index(r)]));
    }
    out.push_back('\n');
  }
  return fmt::to_string(out);
}

std::string to_json(std::span<const Table> tables) {
  using Json = nlohmann::ordered_json;
  Json out = Json::object();
  for (const Table& table : tables) {
    Json& columns = out[table.name] = Json::object();
    for (const Column& column : table.columns) std::visit([&](const auto& values) { columns[column.name] = values; }, column.values);
  }
  return io::json_text(out) + "\n";
}

void write_csv(const Table& table, const std::string& path) { io::write_file(path, to_csv(table)); }
void write_json(std::span<const Table> tables, const std::string& path) { io::write_file(path, to_json(tables)); }

void write_hdf5(std::span<const Table> tables, const std::string& path) {
  io::ArchiveWriter out({.kind = "tables", .version = 1});
  std::vector<std::string> columns, datasets;
  std::set<std::string> groups;
  for (const Table& table : tables) {
    const std::string group = link_name(table.name, groups);
    std::set<std::string> names;
    for (const Column& column : table.columns) {
      columns.push_back(table.name + "/" + column.name);
      datasets.push_back(group + "/" + link_name(column.name, names));
      if (const auto* numbers = std::get_if<std::vector<double>>(&column.values))
        out.array(datasets.back(), {column.size()}, std::span<const double>(*numbers));
      else
        out.texts(datasets.back(), std::get<std::vector<std::string>>(column.values));
    }
  }
  out.attribute("columns", std::move(columns));
  out.attribute("datasets", std::move(datasets));
  out.commit(path);
}

std::vector<std::string> default_param_names(std::int64_t count) { return checked_names({}, count, "default_param_names"); }

}  // namespace bayesflow::diagnostics

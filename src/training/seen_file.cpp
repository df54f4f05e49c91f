#include "training/seen_file.hpp"

namespace bayesflow::training {
namespace {

constexpr std::int64_t kNumbers = 9;
const std::string kColumns = "seen/columns/";

void write(io::ArchiveWriter& out, const std::string& path, const std::vector<SeenColumn>& columns) {
  std::vector<double> rows;
  for (const SeenColumn& c : columns)
    rows.insert(rows.end(), {c.count, c.low, c.high, c.mean_low, c.mean_high, c.origin, c.sum, c.square, c.cube});
  out.array(path, {static_cast<std::int64_t>(columns.size()), kNumbers}, std::move(rows));
}

std::vector<SeenColumn> read(const io::ArchiveReader& in, const std::string& path) {
  const auto rows = in.array<double>(path);
  if (rows.size() % kNumbers != 0) in.refuse(path, "does not hold 9 numbers for each column");
  std::vector<SeenColumn> out;
  for (std::size_t i = 0; i < rows.size(); i += kNumbers) {
    const double* r = rows.data() + i;
    out.push_back({r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8]});
  }
  return out;
}

}  // namespace

void write_seen(io::ArchiveWriter& out, const SeenData& seen) {
  for (const auto& [role, columns] : seen.columns) write(out, kColumns + role, columns);
  write(out, "seen/summaries", seen.summaries);
  std::vector<std::int64_t> sizes{seen.data_sets};
  for (const auto& [fewest, most] : seen.sizes) sizes.insert(sizes.end(), {fewest, most});
  out.array("seen/sizes", {static_cast<std::int64_t>(sizes.size())}, std::move(sizes));
  out.array("seen/is_size", {static_cast<std::int64_t>(seen.is_size.size())}, std::vector<std::uint8_t>(seen.is_size));
  out.attribute("seen_param_names", seen.param_names);
}

std::optional<SeenData> read_seen(const io::ArchiveReader& in) {
  if (!in.has("seen/sizes")) return {};
  SeenData out;
  for (const std::string& path : in.paths(kColumns)) out.columns.emplace_back(path.substr(kColumns.size()), read(in, path));
  out.summaries = read(in, "seen/summaries");
  const auto sizes = in.array<std::int64_t>("seen/sizes");
  if (sizes.size() % 2 != 1) in.refuse("seen/sizes", "does not hold a number and pairs");
  out.data_sets = sizes[0];
  for (std::size_t i = 1; i < sizes.size(); i += 2) out.sizes.emplace_back(sizes[i], sizes[i + 1]);
  out.is_size = in.array<std::uint8_t>("seen/is_size");
  out.param_names = in.attribute<std::vector<std::string>>("seen_param_names");
  return out;
}

}  // namespace bayesflow::training

#include "training/seen_file.hpp"

#include <algorithm>
#include <cmath>

namespace bayesflow::training {
namespace {

constexpr std::int64_t kNumbers = 9;
const std::string kColumns = "seen/columns/", kSourceSizes = "seen/source_sizes/", kReference = "seen/reference/";

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
  const auto write_sizes = [&](const std::string& path, std::vector<std::int64_t> numbers, const SeenData::Sizes& sizes) {
    for (const auto& [fewest, most] : sizes) numbers.insert(numbers.end(), {fewest, most});
    out.array(path, {static_cast<std::int64_t>(numbers.size())}, std::move(numbers));
  };
  write_sizes("seen/sizes", {seen.data_sets}, seen.sizes_of(roles::summary_conditions));
  for (const auto& [role, sizes] : seen.sizes)
    if (role != roles::summary_conditions) write_sizes(kSourceSizes + role, {}, sizes);
  out.array("seen/is_size", {static_cast<std::int64_t>(seen.is_size.size())}, std::vector<std::uint8_t>(seen.is_size));
  out.attribute("seen_param_names", seen.param_names);
  const ReferenceSample& reference = seen.reference;
  if (reference.count == 0) return;
  out.array(kReference + "features", {reference.count, static_cast<std::int64_t>(reference.names.size())}, std::vector(reference.features));
  out.array(kReference + "summaries", {reference.count, reference.summary_width}, std::vector(reference.summaries));
  out.attribute("seen_features", reference.names);
}

std::optional<SeenData> read_seen(const io::ArchiveReader& in) {
  if (!in.has("seen/sizes")) return {};
  SeenData out;
  for (const std::string& path : in.paths(kColumns)) out.columns.emplace_back(path.substr(kColumns.size()), read(in, path));
  out.summaries = read(in, "seen/summaries");
  const auto pairs = [](const std::vector<std::int64_t>& numbers, std::size_t first) {
    SeenData::Sizes each;
    for (std::size_t i = first; i < numbers.size(); i += 2) each.emplace_back(numbers[i], numbers[i + 1]);
    return each;
  };
  const auto sizes = in.array<std::int64_t>("seen/sizes");
  if (sizes.size() % 2 != 1) in.refuse("seen/sizes", "does not hold a number and pairs");
  out.data_sets = sizes[0];
  if (sizes.size() > 1) out.sizes.emplace_back(roles::summary_conditions, pairs(sizes, 1));
  for (const std::string& path : in.paths(kSourceSizes)) {
    const auto numbers = in.array<std::int64_t>(path);
    if (numbers.size() % 2 != 0) in.refuse(path, "does not hold pairs");
    out.sizes.emplace_back(path.substr(kSourceSizes.size()), pairs(numbers, 0));
  }
  out.is_size = in.array<std::uint8_t>("seen/is_size");
  out.param_names = in.attribute<std::vector<std::string>>("seen_param_names");
  if (!in.has(kReference + "features")) return out;
  ReferenceSample& reference = out.reference;
  reference.names = in.attribute<std::vector<std::string>>("seen_features");
  const Shape features = in.shape(kReference + "features"), summaries = in.shape(kReference + "summaries");
  if (features.rank() != 2 || features[0] < 1 || features[0] > ReferenceSample::kMost ||
      features[1] != static_cast<std::int64_t>(reference.names.size()))
    in.refuse(kReference + "features", "does not hold the named features of at most 2,000 data sets");
  if (summaries.rank() != 2 || summaries[0] != features[0])
    in.refuse(kReference + "summaries", "does not hold summaries of as many data sets as there are features of");
  reference.count = features[0];
  reference.summary_width = summaries[1];
  reference.features = in.array<float>(kReference + "features");
  reference.summaries = in.array<float>(kReference + "summaries");
  // Summaries of a group's part that has another reference are NaN.
  if (std::ranges::any_of(reference.features, [](float x) { return !std::isfinite(x); }) ||
      std::ranges::any_of(reference.summaries, [](float x) { return std::isinf(x); }))
    in.refuse(kReference, "holds numbers that are not finite");
  return out;
}

}  // namespace bayesflow::training

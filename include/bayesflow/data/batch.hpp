/// What networks are given.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bayesflow/data/block.hpp"

namespace bayesflow {

/// Names of the blocks that the library's amortizers use; v1's dictionary keys, where it has them. Amortizers of your own may have others.
namespace roles {
inline constexpr const char* parameters = "parameters";                  ///< (batch, P) or (batch, n, P)
inline constexpr const char* summary_conditions = "summary_conditions";  ///< given to the summary network: (batch, n, d), ...
inline constexpr const char* summary_mask = "summary_mask";    ///< (batch, n): 1 where there is an observation, 0 where there is padding
inline constexpr const char* summary_times = "summary_times";  ///< (batch, n): when each observation of a series was made
inline constexpr const char* direct_conditions = "direct_conditions";  ///< joined to the summaries: (batch, c)
inline constexpr const char* observables = "observables";              ///< of likelihoods: (batch, D) or (batch, n, D)
inline constexpr const char* conditions = "conditions";  ///< of likelihoods: parameters and what else the simulator was given, (batch, C)
/// Of two-level models: (batch, H), (batch, groups, L), (batch, S); further conditions (batch, c), of groups also (batch, groups, c).
inline constexpr const char *hyper_parameters = "hyper_parameters", *local_parameters = "local_parameters",
                            *shared_parameters = "shared_parameters", *direct_global_conditions = "direct_global_conditions",
                            *direct_local_conditions = "direct_local_conditions";
inline constexpr const char* local_mask = "local_mask";        ///< (batch, groups): 1 for a group, 0 for padding
inline constexpr const char* model_indices = "model_indices";  ///< of model comparison: (batch, M), 1 for the model that made the data
}  // namespace roles

/// The name of a role, in place: at most 47 bytes.
class RoleName {
 public:
  static constexpr std::size_t kMost = 47;
  RoleName() = default;
  RoleName(std::string_view text);  // NOLINT(google-explicit-constructor): throws ConfigurationError for none, or a longer one
  operator std::string_view() const { return text_.data(); }  // NOLINT(google-explicit-constructor)
  [[nodiscard]] const char* c_str() const { return text_.data(); }
  [[nodiscard]] std::string str() const { return text_.data(); }
  friend bool operator==(const RoleName& a, std::string_view b) { return std::string_view(a) == b; }

 private:
  std::array<char, kMost + 1> text_{};
};

namespace roles {
/// The role of one of several sources of data (see FusionNetwork): of_source(summary_conditions, "series") is
/// "summary_conditions.series"; of the source that has no name, "", it is the role itself.
[[nodiscard]] RoleName of_source(std::string_view role, std::string_view source);
/// The reverse: "series" of "summary_conditions.series", "" of "summary_conditions", nothing of another role.
[[nodiscard]] std::optional<std::string_view> source_in(std::string_view role, std::string_view of);
}  // namespace roles

/// Blocks by role. Axis 0 of each is the data set. Absent roles are not listed.
class Batch {
 public:
  static constexpr std::size_t kMost = 26;  ///< roles: those of 8 sources of data, parameters and direct conditions
  struct Entry {
    RoleName role;
    Block values;
  };  ///< A role and its block
  Batch() = default;
  /// {{roles::parameters, draws}, {roles::summary_conditions, data}}
  Batch(std::initializer_list<std::pair<std::string_view, Block>> entries);

  /// Adds or replaces a block; an absent one takes the role away. Throws ConfigurationError for more than kMost roles.
  void set(std::string_view role, Block values);
  /// Changes a block: `change` is given its values in double precision.
  void update(std::string_view role, const std::function<void(Array&)>& change);
  [[nodiscard]] bool has(std::string_view role) const { return find(role) != nullptr; }
  [[nodiscard]] const Block* find(std::string_view role) const;  ///< null: absent
  /// Throws ConfigurationError naming the roles that there are.
  [[nodiscard]] const Block& operator[](std::string_view role) const;
  [[nodiscard]] Array array(std::string_view role) const { return (*this)[role].array(); }    ///< in double precision, to compute with
  [[nodiscard]] std::span<const Entry> entries() const { return {entries_.data(), count_}; }  ///< in the order in which they were set
  [[nodiscard]] bool empty() const { return count_ == 0; }

  /// Data sets, from the conditions, or from whatever is there. Throws SummaryStatsError if nothing is, and ShapeError for a block that is
  /// a single number.
  [[nodiscard]] std::int64_t batch_size() const;
  /// Data sets `first` to `last` - 1, in the same memory.
  [[nodiscard]] Batch rows(std::int64_t first, std::int64_t last) const;
  [[nodiscard]] Batch take(std::span<const std::int64_t> rows) const;
  /// Only the roles listed, as far as they are there.
  [[nodiscard]] Batch only(std::initializer_list<std::string_view> roles) const;
  /// The first value that is not finite, or not in float32, as part of a sentence ("nan in direct_conditions of data set 3, column 1");
  /// empty if there is none.
  [[nodiscard]] std::string non_finite() const;
  /// The first value of a mask that is neither 0 nor 1, as a sentence; empty if there is none.
  [[nodiscard]] std::string wrong_mask() const;
  /// Throws ShapeError if there is no data set or axis 0 of the blocks differs, and ArgumentError for a value that is not finite in
  /// float32, or a mask's that is neither 0 nor 1. Messages begin with `owner`.
  void check(const char* owner) const;

 private:
  std::array<Entry, kMost> entries_;
  std::size_t count_ = 0;
};

/// Shapes by role, as networks are built for.
struct RoleShape {
  std::string role;
  Shape shape;
};
using BatchShapes = std::vector<RoleShape>;
[[nodiscard]] BatchShapes shapes_of(const Batch& batch);
[[nodiscard]] const Shape* find_shape(const BatchShapes& shapes, std::string_view role);  ///< null: absent

/// Batches of equal roles and shapes, one after the other. False, and `to` is as before, if they do not fit.
bool append(Batch& to, const Batch& more);

}  // namespace bayesflow

/// What a generative model returns.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bayesflow/core/array.hpp"

namespace bayesflow {

/// Whether a field has a row for each simulation, or one value that all simulations of a batch share.
enum class FieldRole : std::uint8_t { per_simulation, shared };

/// v1's six, in the order of Simulations.
struct StandardField {
  const char* name;
  FieldRole role;
};
inline constexpr std::array<StandardField, 6> kStandardFields = {{{"prior_non_batchable_context", FieldRole::shared},
                                                                  {"prior_batchable_context", FieldRole::per_simulation},
                                                                  {"prior_draws", FieldRole::per_simulation},
                                                                  {"sim_non_batchable_context", FieldRole::shared},
                                                                  {"sim_batchable_context", FieldRole::per_simulation},
                                                                  {"sim_data", FieldRole::per_simulation}}};

/// Names of fields that the library itself reads, beside v1's six.
namespace fields {
/// (batch, n): 1 for an observation of sim_data, 0 for padding. Summary networks are given it as roles::summary_mask.
inline constexpr const char* sim_data_mask = "sim_data_mask";
/// (batch, n): when each observation of sim_data was made; roles::summary_times.
inline constexpr const char* sim_data_times = "sim_data_times";
/// (batch, M): 1 for the model that made the simulation, 0 for the others; roles::model_indices.
inline constexpr const char* model_indices = "model_indices";
/// (batch, P): 1 for a parameter of prior_draws, 0 for padding.
inline constexpr const char* prior_draws_mask = "prior_draws_mask";
/// (batch, groups): 1 for a group of local_prior_draws, 0 for padding.
inline constexpr const char* local_mask = "local_mask";
/// Draws of a two-level prior: (batch, H), (batch, groups, L), (batch, S).
inline constexpr const char *hyper_prior_draws = "hyper_prior_draws", *local_prior_draws = "local_prior_draws",
                            *shared_prior_draws = "shared_prior_draws";
}  // namespace fields

/// The six fields of v1's forward dictionary, in its order, and any number of further ones. Axis 0 of draws, data and batchable contexts is
/// the batch.
struct Simulations {
  std::optional<Array> prior_non_batchable_context = {};
  std::optional<Array> prior_batchable_context = {};
  Array prior_draws = {};  ///< (batch, parameters) or (batch, n, parameters)
  std::optional<Array> sim_non_batchable_context = {};
  std::optional<Array> sim_batchable_context = {};
  Array sim_data = {};  ///< (batch, ...)

  /// A field beyond these six.
  struct Further {
    std::string name;
    FieldRole role = FieldRole::per_simulation;
    Array values;
  };
  std::vector<Further> further = {};

  /// Sets a field by its name: one of the six, or a further one, whose name must be of letters, digits and underscores, at most 31. Without
  /// a role a further field has a row for each simulation. Throws ArgumentError for other names, and for a role that one of the six has
  /// not.
  void set(std::string_view name, Array values, std::optional<FieldRole> role = {});
  /// Whether a field of this name is one of the six.
  [[nodiscard]] static bool is_standard(std::string_view name);
  /// Any field by its name; null: it is not there.
  [[nodiscard]] const Array* find(std::string_view name) const;
  /// A field with its values; null: not there.
  struct Field {
    std::string_view name;
    FieldRole role = FieldRole::per_simulation;
    const Array* values = nullptr;
  };
  /// The fields that are there: v1's six in the order above, then further ones in the order they were set.
  [[nodiscard]] std::vector<Field> fields() const;
  /// The same without memory of its own: f(name, role, array).
  template <class F>
  void for_each(F&& f) const {
    visit(*this, f);
  }
  template <class F>
  void for_each(F&& f) {
    visit(*this, f);
  }
  /// Whether all simulations share the value of some field, so that simulations of different batches must not be mixed.
  [[nodiscard]] bool has_shared() const;

  /// Rows of the parameters, or of the first field with a row for each simulation if there are none; 0 without any.
  [[nodiscard]] std::int64_t batch_size() const;
  /// Throws ShapeError unless every field with a row for each simulation has batch_size() rows; `owner` begins the sentence.
  void check_rows(std::string_view owner) const;

  /// These rows of every field with a row for each simulation; shared fields as they are.
  [[nodiscard]] Simulations take(const std::vector<std::int64_t>& rows) const;
  /// A row of one of several simulations.
  struct Row {
    const Simulations* of;
    std::int64_t index;
  };
  /// Rows of simulations that all have the same fields and shapes, as one; shared fields are those of the first.
  [[nodiscard]] static Simulations gather(std::span<const Row> rows);
  /// Makes row `row` that of `from`, which has the same fields.
  void set_row(std::int64_t row, const Row& from);

  /// Given simulations as models make them: one number per simulation becomes one column. Without parameters such data might be one data
  /// set; they stay.
  void make_columns();

 private:
  template <class Make>
  [[nodiscard]] Simulations mapped(const Make& make) const;
  template <class Self, class F>
  static void visit(Self& s, F&& f) {
    const auto present = [](const Array& a) { return a.shape() != Shape{0}; };
    const auto call = [&f](std::size_t i, auto& values) { f(std::string_view(kStandardFields[i].name), kStandardFields[i].role, values); };
    if (s.prior_non_batchable_context) call(0, *s.prior_non_batchable_context);
    if (s.prior_batchable_context) call(1, *s.prior_batchable_context);
    if (present(s.prior_draws)) call(2, s.prior_draws);
    if (s.sim_non_batchable_context) call(3, *s.sim_non_batchable_context);
    if (s.sim_batchable_context) call(4, *s.sim_batchable_context);
    if (present(s.sim_data)) call(5, s.sim_data);
    for (auto& field : s.further) f(std::string_view(field.name), field.role, field.values);
  }
};

}  // namespace bayesflow

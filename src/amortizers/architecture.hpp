/// Networks as JSON, and back.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "bayesflow/amortizers/model_file.hpp"

namespace bayesflow::detail {

/// All options by name. Functions of the user are named, not stored: "pooling": "own", "class": "own".
[[nodiscard]] std::string architecture_of(const AmortizerBase& amortizer);
/// Whether the library can make the network again from its description.
[[nodiscard]] bool is_known(const Network& net);

/// Not built yet, with the amortizers that it is made of, and the shapes they are to be built for. `part`: a part alone, by the names of
/// parts with dots between them; empty: all of it. Throws IoError for missing parts (`LoadAmortizerOptions` says which there
/// are); any other exception means that the text makes no sense. No count in it may be above `max_arrays`, and no width above `max_values`.
struct Described {
  struct Single {
    std::string place;  ///< of its weights among the amortizer's
    Amortizer amortizer;
    BatchShapes built_for;
  };
  std::shared_ptr<AmortizerBase> amortizer;
  std::vector<Single> singles;
  /// Makes at most so many weights.
  void build(std::int64_t max_values);
};
[[nodiscard]] Described from_architecture(const std::string& text, const LoadAmortizerOptions& parts, std::int64_t max_arrays,
                                          std::int64_t max_values, const AmortizerKind* own = nullptr, const std::string& part = "");

}  // namespace bayesflow::detail

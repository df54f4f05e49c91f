/// Numbers of dropout.
#pragma once

#include <cstdint>

namespace bayesflow::detail {

/// A random word of 32 bits below this drops an entry, with probability p.
inline std::uint32_t dropout_threshold(float p) { return static_cast<std::uint32_t>(static_cast<double>(p) * 4294967296.0); }
/// What is kept is scaled by this, so that its expected value stays.
inline float dropout_scale(float p) { return 1.0f / (1.0f - p); }

}  // namespace bayesflow::detail

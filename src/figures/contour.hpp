/// Lines of equal density.
#pragma once

#include "figures/scene.hpp"

namespace bayesflow::figures {

/// The boundary of {density >= level} as closed rings in grid units (column, row); the area lies to the left of each ring. Outside
/// of the grid the density counts as zero, so every ring closes. Level must be positive.
[[nodiscard]] std::vector<Path> contour_rings(const Density& density, double level);

}  // namespace bayesflow::figures

/// Does a posterior change with the data at all?
#pragma once

#include "bayesflow/core/array.hpp"
#include "bayesflow/diagnostics/table.hpp"
#include "diagnostics/numbers.hpp"

namespace bayesflow::diagnostics {

struct Learning {
  Estimate share;      ///< of the variation of the draws' ranks that lies between data sets
  double p_value = 1;  ///< of a share of `least` or more: small if nothing was learnt
};
/// One-way analysis of variance over data sets, of the ranks of a parameter's draws among those of all data sets (so that heavy
/// tails do no harm) and of their distances from the middle rank (so that posteriors that change their width count as well).
/// The larger share counts. Uses up to 256 draws per data set, fewer of many data sets.
Learning learning(const Array& draws, const Sizes& n, std::int64_t parameter, double least);

}  // namespace bayesflow::diagnostics

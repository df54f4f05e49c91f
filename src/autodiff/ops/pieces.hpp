/// Cutting the loops of one operation for threads.
#pragma once

#include <algorithm>
#include <cstdint>

#include "bayesflow/autodiff/tape.hpp"
#include "core/denormals.hpp"

namespace bayesflow::ops {

/// How many pieces `rows` rows make.
inline std::int64_t pieces_of(std::int64_t rows) {
  constexpr std::int64_t kRowsPerPiece = 200;
  return rows >= 2 * kRowsPerPiece ? (rows + kRowsPerPiece - 1) / kRowsPerPiece : 1;
}

/// f(group, piece, first row, count) for each piece of `period` rows of each group, on the tape's threads.
template <class F>
void for_pieces(const Tape& tape, std::int64_t groups, std::int64_t period, std::int64_t pieces, const F& f) {
  detail::engine_for_each(tape.pool(), groups * pieces, [&](std::int64_t i) {
    const std::int64_t piece = i % pieces, first = period * piece / pieces;
    f(i / pieces, piece, first, period * (piece + 1) / pieces - first);
  });
}

/// f(first, count) over n elements that do not depend on each other, on the tape's threads if there are many.
template <class F>
void for_elements(const Tape& tape, std::int64_t n, const F& f) {
  constexpr std::int64_t kPiece = std::int64_t{1} << 14;
  if (!tape.pool() || n < 2 * kPiece) return f(std::int64_t{0}, n);
  detail::engine_for_each(tape.pool(), (n + kPiece - 1) / kPiece, [&](std::int64_t i) { f(i * kPiece, std::min(kPiece, n - i * kPiece)); });
}

}  // namespace bayesflow::ops

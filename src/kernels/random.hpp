/// Philox4x32-10 in vectors, and normals from it.
#pragma once

#include <cstdint>

namespace bayesflow::kernels {

/// Two standard normals for each of the blocks first_block, first_block + 1, ... of the stream (key, index): Box-Muller on
/// the block's two 64-bit words.  r = sqrt(-2 log u), u = (top 53 bits of word 0 + 1/2) 2^-53, angle = 2 pi (top 53 bits of
/// word 1) 2^-53; out = r cos, r sin.
void normal_blocks(std::uint64_t key, std::uint64_t index, std::uint64_t first_block, std::int64_t blocks, double* out);

/// Which entries of a matrix (rows, cols), rows `ld` apart, dropout keeps: `keep` where the entry's random word is at least `threshold`,
/// else 0. Each block of the stream has four 32-bit words. Row i is made of the blocks from first_block + i row_blocks on, so that any
/// stretch of rows can be made again; row_blocks: at least ceil(cols / 4).
struct KeepMask {
  std::uint64_t key, index, first_block, row_blocks;
  std::uint32_t threshold;
  float keep;
};
void keep_mask(const KeepMask& mask, std::int64_t rows, std::int64_t cols, float* out, std::int64_t ld);

/// Name of the instruction set that the kernels run with.
const char* best_target();

}  // namespace bayesflow::kernels

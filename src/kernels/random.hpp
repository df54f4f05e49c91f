/// Philox4x32-10 in vectors, and normals from it.
#pragma once

#include <cstdint>

namespace bayesflow::kernels {

/// Two standard normals for each of the blocks first_block, first_block + 1, ... of the stream (key, index): Box-Muller on
/// the block's two 64-bit words.  r = sqrt(-2 log u), u = (top 53 bits of word 0 + 1/2) 2^-53, angle = 2 pi (top 53 bits of
/// word 1) 2^-53; out = r cos, r sin.
void normal_blocks(std::uint64_t key, std::uint64_t index, std::uint64_t first_block, std::int64_t blocks, double* out);

/// Name of the instruction set that the kernels run with.
const char* best_target();

}  // namespace bayesflow::kernels

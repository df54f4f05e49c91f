/// Instruction sets that the kernels are compiled for: plain scalar code for every machine, AVX2 with FMA, and
/// AVX-512.
/// To be included before any header of Highway.
#pragma once

#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)

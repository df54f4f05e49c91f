/// Loops over rows: softmax, normalization, sums, and pools over rows of which some are absent. Single-threaded.
/// A mask has a number for each entry: 0 stands for an absent one, whose value is not looked at. Null: all are there.
#pragma once

#include <cstdint>

namespace bayesflow::kernels {

/// Rows of a matrix with their masks, `ldmask` apart (0: one mask for all rows).
struct MaskedRows {
  std::int64_t rows, cols;
  const float* mask = nullptr;
  std::int64_t ldmask = 0;
};

/// y = e^(factor x) / sum of e^(factor x) over a row; 0 where the mask is, and everywhere if nothing is left. x and y may be the same.
/// log_sum: log of the sum, one a row, if asked for; infinity if nothing is left.
void softmax(const MaskedRows& r, const float* x, float factor, float* y, float* log_sum = nullptr);
/// y = e^(factor x - log_sum), 0 where the mask is: the same once more. x and y may be the same.
void softmax_again(const MaskedRows& r, const float* x, float factor, const float* log_sum, float* y);
/// dx (+)= factor y (dy - sum y dy). dx and dy may be the same.
void softmax_backward(std::int64_t rows, std::int64_t cols, const float* y, const float* dy, float factor, float* dx, bool accumulate);

/// What log_softmax gives for an absent entry: a logarithm of 0 that sums and products with 0 can bear.
inline constexpr float kLogOfZero = -1e30f;
/// y = x - log sum e^x over a row; kLogOfZero where the mask is.
void log_softmax(const MaskedRows& r, const float* x, float* y);
/// dx (+)= dy - e^y sum dy, sums and results over what is there.
void log_softmax_backward(const MaskedRows& r, const float* y, const float* dy, float* dx, bool accumulate);

/// y = gain (x - mean) scale + bias with scale = 1 / sqrt(variance + epsilon) of a row; mean 0 if not `centre`. gain and bias may be null.
struct Normalization {
  std::int64_t rows, cols;
  bool centre;
  float epsilon;
  const float* gain;
  const float* bias;
};
void normalize(const Normalization& n, const float* x, float* y, float* mean, float* scale);
/// Adds to dgain and dbias; dx is stored or added. Each may be null.
void normalize_backward(const Normalization& n, const float* x, const float* mean, const float* scale, const float* dy, float* dx,
                        bool accumulate, float* dgain, float* dbias);

/// y[i] = factor * sum of row i
void row_sums(const float* x, std::int64_t rows, std::int64_t cols, float factor, float* y);
/// y[i, j] (+)= factor * x[i]
void spread_rows(const float* x, std::int64_t rows, std::int64_t cols, float factor, float* y, bool accumulate);

/// y[g] = sum of the rows of group g that are there, or their mean; 0 if none is. The mask has a number a row of x.
void masked_sum_groups(const float* x, const float* mask, std::int64_t groups, std::int64_t period, std::int64_t cols, bool average,
                       float* y);
void masked_sum_groups_backward(const float* dy, const float* mask, std::int64_t groups, std::int64_t period, std::int64_t cols,
                                bool average, float* dx, bool accumulate);
/// y[g, j] = the largest of column j of group g, and which row it comes from: the first of equals. NaN is larger than everything. 0 and row
/// -1 if there is none.
void max_groups(const float* x, const float* mask, std::int64_t groups, std::int64_t period, std::int64_t cols, float* y,
                std::int32_t* from);
/// y[i] = mask[i] ? x[i] : 0 for rows of `cols`; added if `accumulate`.
void mask_rows(const float* x, const float* mask, std::int64_t rows, std::int64_t cols, float* y, bool accumulate);

}  // namespace bayesflow::kernels

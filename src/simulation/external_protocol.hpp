/// What is written to external programs and what they answer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "bayesflow/core/array.hpp"
#include "bayesflow/simulation/external_program.hpp"

namespace bayesflow::detail {

struct ExternalRequest {
  std::uint64_t simulation = 0;
  std::uint32_t seed = 0;  ///< below 2^31, as R's set.seed takes it
  std::span<const double> parameters{}, batchable{}, non_batchable{};
};

/// Replaces `out` by the request's bytes.
void write_request(ExternalFormat format, const ExternalRequest& request, std::string& out);

/// Bytes of the first answer in `output`; 0 while it is not complete.
[[nodiscard]] std::size_t answer_bytes(ExternalFormat format, std::string_view output);

/// What the program says of a simulation that failed.
struct ExternalFailure {
  std::string text;
};

/// The data of an answer, of `shape` unless that has rank 0. Throws ExternalFailure; std::runtime_error, as the end of a sentence that
/// begins with the program, if it is not the answer to this simulation.
[[nodiscard]] Array data_of_answer(ExternalFormat format, std::string_view answer, std::uint64_t simulation, const Shape& shape);

}  // namespace bayesflow::detail

#include "bayesflow/distributed/mpi_reducer.hpp"

#include <mpi.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "bayesflow/core/errors.hpp"

namespace bayesflow::distributed {
namespace {

void check(int code, const char* call) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = {};
  int length = 0;
  MPI_Error_string(code, text, &length);
  throw Error(std::string("MpiReducer: ") + call + " failed: " + text);
}

int as_int(std::size_t count) {
  if (count > static_cast<std::size_t>(std::numeric_limits<int>::max()))
    throw Error("MpiReducer: a message must have fewer than 2^31 numbers; got " + std::to_string(count) + ": use more ranks");
  return static_cast<int>(count);
}

}  // namespace

struct MpiReducer::State {
  MPI_Comm communicator = MPI_COMM_NULL;
  int rank = 0, size = 1;
  std::vector<int> lanes, send_counts, send_offsets, counts, offsets;  // by ranks
  std::vector<float> sent, received;
  std::vector<const float*> in_order;
};

MpiReducer::MpiReducer(const void* communicator) {
  int running = 0, over = 0;
  MPI_Initialized(&running);
  MPI_Finalized(&over);
  if (!running || over)
    throw ConfigurationError("MpiReducer: MPI must run; call MPI_Init before, and MPI_Finalize after the last reducer is gone");
  auto state = std::make_unique<State>();
  check(MPI_Comm_dup(communicator ? *static_cast<const MPI_Comm*>(communicator) : MPI_COMM_WORLD, &state->communicator), "MPI_Comm_dup");
  MPI_Comm_set_errhandler(state->communicator, MPI_ERRORS_RETURN);
  check(MPI_Comm_rank(state->communicator, &state->rank), "MPI_Comm_rank");
  check(MPI_Comm_size(state->communicator, &state->size), "MPI_Comm_size");
  for (auto* by_rank : {&state->lanes, &state->send_counts, &state->send_offsets, &state->counts, &state->offsets})
    by_rank->resize(static_cast<std::size_t>(state->size));
  state_ = std::move(state);
}

MpiReducer::~MpiReducer() {
  int over = 0;
  MPI_Finalized(&over);
  if (!over) MPI_Comm_free(&state_->communicator);
}

int MpiReducer::rank() const { return state_->rank; }
int MpiReducer::size() const { return state_->size; }

void MpiReducer::all_sum(std::span<const float* const> parts, std::span<float> sum) {
  State& s = *state_;
  if (s.size == 1) return Reducer::all_sum(parts, sum);
  const auto ranks = static_cast<std::size_t>(s.size), me = static_cast<std::size_t>(s.rank);
  const int mine = as_int(parts.size());
  check(MPI_Allgather(&mine, 1, MPI_INT, s.lanes.data(), 1, MPI_INT, s.communicator), "MPI_Allgather");
  const auto begin = [&](std::size_t rank) { return sum.size() * rank / ranks; };  // of the slice that a rank adds up
  const std::size_t width = begin(me + 1) - begin(me);

  s.sent.resize(parts.size() * sum.size());
  std::size_t at = 0;
  for (std::size_t r = 0; r < ranks; ++r) {
    s.send_offsets[r] = as_int(at);
    for (const float* part : parts) {
      std::copy(part + begin(r), part + begin(r + 1), s.sent.data() + at);
      at += begin(r + 1) - begin(r);
    }
    s.send_counts[r] = as_int(at) - s.send_offsets[r];
  }
  std::size_t all_lanes = 0;
  for (std::size_t r = 0; r < ranks; ++r) {
    s.offsets[r] = as_int(all_lanes * width);
    all_lanes += static_cast<std::size_t>(s.lanes[r]);
    s.counts[r] = as_int(all_lanes * width) - s.offsets[r];
  }
  if (all_lanes == 0) throw Error("MpiReducer: no rank has anything to add up; at least one must have a part of the batch");
  s.received.resize(all_lanes * width);
  check(MPI_Alltoallv(s.sent.data(), s.send_counts.data(), s.send_offsets.data(), MPI_FLOAT, s.received.data(), s.counts.data(),
                      s.offsets.data(), MPI_FLOAT, s.communicator),
        "MPI_Alltoallv");

  s.in_order.clear();
  for (std::size_t lane = 0; lane < all_lanes; ++lane) s.in_order.push_back(s.received.data() + lane * width);
  Reducer::all_sum(s.in_order, sum.subspan(begin(me), width));
  for (std::size_t r = 0; r < ranks; ++r) {
    s.offsets[r] = as_int(begin(r));
    s.counts[r] = as_int(begin(r + 1) - begin(r));
  }
  check(MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, sum.data(), s.counts.data(), s.offsets.data(), MPI_FLOAT, s.communicator),
        "MPI_Allgatherv");
}

void MpiReducer::all_gather(std::span<const std::byte> mine, std::span<std::byte> all) {
  check(MPI_Allgather(mine.data(), as_int(mine.size()), MPI_BYTE, all.data(), as_int(mine.size()), MPI_BYTE, state_->communicator),
        "MPI_Allgather");
}

}  // namespace bayesflow::distributed

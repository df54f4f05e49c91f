#include "bayesflow/distributed/mpi_communicator.hpp"

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
  throw Error(std::string("MpiCommunicator: ") + call + " failed: " + text);
}

int as_int(std::size_t count) {
  if (count > static_cast<std::size_t>(std::numeric_limits<int>::max()))
    throw Error("MpiCommunicator: a message must have fewer than 2^31 bytes; got " + std::to_string(count) + ": use more ranks");
  return static_cast<int>(count);
}

}  // namespace

struct MpiCommunicator::State {
  MPI_Comm communicator = MPI_COMM_NULL;
  int rank = 0, size = 1;
  std::vector<int> sent, sent_at, received, received_at;  // bytes, by ranks
};

MpiCommunicator::MpiCommunicator(const void* communicator) {
  int running = 0, over = 0;
  MPI_Initialized(&running);
  MPI_Finalized(&over);
  if (!running || over)
    throw ConfigurationError("MpiCommunicator: MPI must run; call MPI_Init before, and MPI_Finalize after the last communicator is gone");
  auto state = std::make_unique<State>();
  check(MPI_Comm_dup(communicator ? *static_cast<const MPI_Comm*>(communicator) : MPI_COMM_WORLD, &state->communicator), "MPI_Comm_dup");
  MPI_Comm_set_errhandler(state->communicator, MPI_ERRORS_RETURN);
  check(MPI_Comm_rank(state->communicator, &state->rank), "MPI_Comm_rank");
  check(MPI_Comm_size(state->communicator, &state->size), "MPI_Comm_size");
  for (auto* by_rank : {&state->sent, &state->sent_at, &state->received, &state->received_at})
    by_rank->resize(static_cast<std::size_t>(state->size));
  state_ = std::move(state);
}

MpiCommunicator::~MpiCommunicator() {
  int over = 0;
  MPI_Finalized(&over);
  if (!over) MPI_Comm_free(&state_->communicator);
}

int MpiCommunicator::rank() const { return state_->rank; }
int MpiCommunicator::size() const { return state_->size; }

void MpiCommunicator::all_gather(std::span<const std::byte> mine, std::span<std::byte> all) {
  check(MPI_Allgather(mine.data(), as_int(mine.size()), MPI_BYTE, all.data(), as_int(mine.size()), MPI_BYTE, state_->communicator),
        "MPI_Allgather");
}

void MpiCommunicator::all_to_all(std::span<const std::byte> sent, std::span<const std::size_t> sent_bytes, std::span<std::byte> received,
                                 std::span<const std::size_t> received_bytes) {
  State& s = *state_;
  const auto lay_out = [](std::span<const std::size_t> bytes, std::vector<int>& counts, std::vector<int>& offsets) {
    std::size_t at = 0;
    for (std::size_t r = 0; r < bytes.size(); ++r) {
      counts[r] = as_int(bytes[r]);
      offsets[r] = as_int(at);
      at += bytes[r];
    }
  };
  lay_out(sent_bytes, s.sent, s.sent_at);
  lay_out(received_bytes, s.received, s.received_at);
  check(MPI_Alltoallv(sent.data(), s.sent.data(), s.sent_at.data(), MPI_BYTE, received.data(), s.received.data(), s.received_at.data(),
                      MPI_BYTE, s.communicator),
        "MPI_Alltoallv");
}

}  // namespace bayesflow::distributed

/// What the networks have seen, in model files and checkpoints: the group "seen".
#pragma once

#include <optional>

#include "bayesflow/data/seen_data.hpp"
#include "io/archive.hpp"

namespace bayesflow::training {

void write_seen(io::ArchiveWriter& out, const SeenData& seen);
/// Nothing in files that were written before it was kept.
[[nodiscard]] std::optional<SeenData> read_seen(const io::ArchiveReader& in);

}  // namespace bayesflow::training

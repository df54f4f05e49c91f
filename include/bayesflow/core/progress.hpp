/// Stopping a long computation, and seeing how far it is.
#pragma once

namespace bayesflow {

/// What a progress callback answers.
enum class Control { proceed, stop };

}  // namespace bayesflow

/// Options that members are made of must be checked before them.
#pragma once

namespace bayesflow::networks {

/// The options, once they are known to be valid.
template <class Options>
const Options& validated(const Options& options) {
  options.validate();
  return options;
}

}  // namespace bayesflow::networks

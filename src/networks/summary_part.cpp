#include "bayesflow/networks/summary_network.hpp"
#include "networks/registry.hpp"

namespace bayesflow {
namespace {

/// A copy of a network whose class the library knows; else null.
std::shared_ptr<SummaryNetwork> copy_of(const SummaryNetwork* net) {
  std::shared_ptr<SummaryNetwork> out;
  networks::for_each_summary_network([&]<class Net>(const char*) {
    if (const auto* known = dynamic_cast<const Net*>(net)) out = std::make_shared<Net>(*known);
  });
  return out;
}

}  // namespace

SummaryPart::SummaryPart(const SummaryPart& other) : copy_(other.copy_) {
  if (!other.net_) return;
  net_ = copy_ ? copy_(*other.net_) : copy_of(other.net_.get());
  if (!net_) net_ = other.net_;
}
SummaryPart& SummaryPart::operator=(const SummaryPart& other) {
  SummaryPart made(other);
  return *this = std::move(made);
}

}  // namespace bayesflow

/// Runs a check with every instruction set that the kernels are compiled for and this machine has.
#pragma once

// It says which instruction sets Highway generates code for, so it comes before it.
// clang-format off
#include "kernels/targets.hpp"
#include <hwy/targets.h>
// clang-format on

#include <gtest/gtest.h>

#include <cstdint>

namespace bayesflow::kernels {

/// Until its end, the kernels run with one instruction set.
class OnTarget {
 public:
  explicit OnTarget(std::int64_t target) { choose(target); }
  ~OnTarget() { choose(0); }
  OnTarget(const OnTarget&) = delete;
  OnTarget& operator=(const OnTarget&) = delete;

 private:
  static void choose(std::int64_t target) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
};

/// check() once per instruction set; a failure names it.
template <class F>
void for_each_target(F check) {
  for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
    SCOPED_TRACE(hwy::TargetName(target));
    const OnTarget on(target);
    check();
  }
}

}  // namespace bayesflow::kernels

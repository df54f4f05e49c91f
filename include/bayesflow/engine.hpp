/// For authors of networks: tapes, operations with their derivatives, layers, optimizers. Programs that use networks need bayesflow.hpp
/// alone.
#pragma once

#include "bayesflow/autodiff/gradient_check.hpp"
#include "bayesflow/autodiff/gradient_lanes.hpp"
#include "bayesflow/autodiff/ops.hpp"
#include "bayesflow/autodiff/plan.hpp"
#include "bayesflow/autodiff/tape.hpp"
#include "bayesflow/nn/attention.hpp"
#include "bayesflow/nn/convolution.hpp"
#include "bayesflow/nn/gradient_check.hpp"
#include "bayesflow/nn/layers.hpp"
#include "bayesflow/nn/optimizer.hpp"
#include "bayesflow/nn/parameters.hpp"
#include "bayesflow/nn/recurrent.hpp"
#include "bayesflow/nn/schedule.hpp"

#include "training/sources.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "bayesflow/core/errors.hpp"

namespace bayesflow::training {

void PreparedBatch::begin() {
  rows = 0;
  warnings.clear();
}

OnlineSource::OnlineSource(Simulating simulating, const Configurator& configurator, std::uint64_t first, std::int64_t epochs,
                           std::int64_t iterations, std::int64_t batch_size)
    : simulating_(simulating),
      configurator_(&configurator),
      first_(first),
      epochs_(epochs),
      iterations_(iterations),
      batch_size_(batch_size) {}

void OnlineSource::make(std::int64_t epoch, std::int64_t step, ThreadPool* pool, PreparedBatch& batch) {
  const std::uint64_t first = first_ + static_cast<std::uint64_t>((epoch * iterations_ + step) * batch_size_);
  if (simulating_.ranks())
    batch.share = simulating_.share(batch_size_, first, pool);
  else
    fill(batch, simulating_(batch_size_, first, pool));
}

void OnlineSource::join(PreparedBatch& batch) {
  if (simulating_.ranks()) fill(batch, simulating_.join(batch.share));
}

void OnlineSource::fill(PreparedBatch& batch, const Simulations& simulations) {
  batch.count = simulating_.count();
  batch.rows = simulations.batch_size();
  if (batch.rows) batch.inputs = (*configurator_)(simulations);
}

void ReplayBuffer::set_capacity(std::int64_t batches) {
  capacity_ = batches;
  while (size() > capacity_) batches_.pop_front();
}

void ReplayBuffer::store(Stored batch) {
  if (size() == capacity_) batches_.pop_front();
  batches_.push_back(std::move(batch));
}

const Batch& ReplaySource::use(std::int64_t epoch, std::int64_t step, PreparedBatch& batch) {
  if (batch.rows) buffer_->store(std::make_shared<const Batch>(std::move(batch.inputs)));
  batch.rows = std::max(batch.rows, buffer_->size());
  if (buffer_->size() == 0) return batch.inputs;
  Rng rng(seed_, "replay", first_draw_ + static_cast<std::uint64_t>(epoch * steps(epoch) + step));
  return (*buffer_)[rng.integers(0, buffer_->size())];
}

OfflineSource::OfflineSource(std::shared_ptr<const Dataset> data, const Configurator& configurator, std::uint64_t seed,
                             std::uint64_t first_shuffle, std::int64_t epochs, std::int64_t batch_size)
    : data_(std::move(data)),
      configurator_(&configurator),
      seed_(seed),
      first_shuffle_(first_shuffle),
      epochs_(epochs),
      batch_size_(batch_size) {}

void OfflineSource::make(std::int64_t epoch, std::int64_t step, ThreadPool*, PreparedBatch& batch) {
  if (shuffled_epoch_ != epoch) shuffle_.prepare(*data_, batch_size_, seed_, first_shuffle_ + static_cast<std::uint64_t>(epoch));
  shuffled_epoch_ = epoch;
  const Simulations simulations = shuffle_.batch(*data_, step);
  batch.rows = simulations.batch_size();
  batch.inputs = (*configurator_)(simulations);
}

}  // namespace bayesflow::training

/// Which observations of a batch are there.
#pragma once

#include <cstdint>
#include <string_view>

#include "bayesflow/data/batch.hpp"

namespace bayesflow {

/// Which observations of a batch are there, and which are padding.
class Padding {
 public:
  /// Of one source of data; "": of that which has no name.
  explicit Padding(const Batch& batch, std::string_view source = "") : mask_(batch.find(roles::of_source(roles::summary_mask, source))) {
    const Block* data = batch.find(roles::of_source(roles::summary_conditions, source));
    if (data) shape_ = data->shape();
    if (!mask_) return;
    const int rank = mask_->rank();
    if (rank < 2 || rank >= shape_.rank() || mask_->shape() != shape_.slice(0, rank) || mask_->empty())
      mask_ = nullptr;  // the networks refuse it
    else
      places_ = mask_->size() / mask_->dim(0);
  }
  [[nodiscard]] bool any() const { return mask_ != nullptr; }
  [[nodiscard]] std::int64_t places() const { return places_; }  ///< of a data set that the mask speaks of
  [[nodiscard]] bool hides(std::int64_t data_set, std::int64_t place) const {
    return mask_ && mask_->data()[data_set * places_ + place] == 0;
  }
  [[nodiscard]] std::int64_t there(std::int64_t data_set) const {
    std::int64_t out = 0;
    for (std::int64_t i = 0; i < places_; ++i) out += hides(data_set, i) ? 0 : 1;
    return out;
  }
  /// Observations on an axis: indices at which any place is there.
  [[nodiscard]] std::int64_t observations(std::int64_t data_set, int axis = 1) const {
    if (axis + 1 >= shape_.rank()) return 0;
    const std::int64_t extent = shape_[axis];
    if (!mask_ || axis >= mask_->rank()) return extent;
    const std::int64_t inner = mask_->shape().slice(axis + 1, mask_->rank()).size(), outer = places_ / (extent * inner);
    std::int64_t out = 0;
    for (std::int64_t k = 0; k < extent; ++k) {
      bool found = false;
      for (std::int64_t o = 0; !found && o < outer; ++o)
        for (std::int64_t i = 0; !found && i < inner; ++i) found = !hides(data_set, (o * extent + k) * inner + i);
      out += found ? 1 : 0;
    }
    return out;
  }

 private:
  const Block* mask_;
  Shape shape_{0};
  std::int64_t places_ = 0;
};

}  // namespace bayesflow

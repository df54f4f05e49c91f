#include "training/shared_simulations.hpp"

#include <algorithm>
#include <string>
#include <type_traits>
#include <vector>

#include "bayesflow/core/errors.hpp"

namespace bayesflow::training {
namespace {

class Writer {
 public:
  template <class T>
  void number(T value) {
    static_assert(std::is_trivially_copyable_v<T>);
    bytes({reinterpret_cast<const std::byte*>(&value), sizeof(T)});
  }
  void bytes(std::span<const std::byte> values) {
    const std::size_t at = out_.size();
    out_.resize(at + values.size());
    std::ranges::copy(values, out_.begin() + static_cast<std::ptrdiff_t>(at));
  }
  [[nodiscard]] std::span<const std::byte> all() const { return out_; }

 private:
  std::vector<std::byte> out_;
};

class Reader {
 public:
  explicit Reader(std::span<const std::byte> from) : from_(from) {}
  template <class T>
  [[nodiscard]] T number() {
    T value;
    bytes({reinterpret_cast<std::byte*>(&value), sizeof(T)});
    return value;
  }
  void bytes(std::span<std::byte> to) {
    std::ranges::copy(from_.first(to.size()), to.begin());
    from_ = from_.subspan(to.size());
  }

 private:
  std::span<const std::byte> from_;
};

void write(Writer& out, const SimulationShare& share) {
  out.number(share.count);
  std::int64_t fields = 0;
  share.simulations.for_each([&](std::string_view, FieldRole, const Array&) { ++fields; });
  out.number(fields);
  share.simulations.for_each([&](std::string_view name, FieldRole role, const Array& values) {
    out.number(static_cast<std::int64_t>(name.size()));
    out.bytes(std::as_bytes(std::span(name)));
    out.number(role);
    out.number(static_cast<std::int64_t>(values.rank()));
    for (const std::int64_t extent : values.shape()) out.number(extent);
    out.bytes(std::as_bytes(values.values()));
  });
}

SimulationShare read(Reader in) {
  SimulationShare out;
  out.count = in.number<NonFiniteCount>();
  for (auto fields = in.number<std::int64_t>(); fields > 0; --fields) {
    std::string name(static_cast<std::size_t>(in.number<std::int64_t>()), '\0');
    in.bytes(std::as_writable_bytes(std::span(name)));
    const auto role = in.number<FieldRole>();
    Shape shape;
    for (auto rank = in.number<std::int64_t>(); rank > 0; --rank) shape.push_back(in.number<std::int64_t>());
    Array values = uninitialized_array(shape);
    in.bytes(std::as_writable_bytes(values.values()));
    out.simulations.set(name, std::move(values), role);
  }
  return out;
}

}  // namespace

SimulationShare simulate_share(const detail::Ranks& ranks, const GenerativeModel& model, std::int64_t n, std::uint64_t seed,
                               std::string_view purpose, std::uint64_t first, ThreadPool* pool, const NonFinitePolicy& policy) {
  const bool together = !model.depends_on_batch() && !model.has_non_batchable_context();
  const auto begin = [&](int rank) { return together ? n * rank / ranks.size() : rank == 0 ? 0 : n; };
  const std::int64_t from = begin(ranks.rank()), count = begin(ranks.rank() + 1) - from;
  SimulationShare out;
  if (count > 0) out.simulations = model.simulate(count, seed, purpose, first + static_cast<std::uint64_t>(from), pool, policy, out.count);
  return out;
}

Simulations join(detail::Ranks& ranks, const SimulationShare& mine, NonFiniteCount& count) {
  Writer out;
  write(out, mine);
  std::vector<SimulationShare> shares;
  for (const std::span<const std::byte> bytes : ranks.gather_any(detail::Meeting::simulations, out.all())) {
    shares.push_back(read(Reader(bytes)));
    const NonFiniteCount& more = shares.back().count;
    count.simulated += more.simulated;
    count.dropped += more.dropped;
    count.redrawn += more.redrawn;
    if (shares.back().simulations.batch_size() == 0) shares.pop_back();
  }
  if (shares.empty()) return {};
  if (shares.size() == 1) return std::move(shares[0].simulations);
  std::vector<Simulations::Row> rows;
  const auto is_like = [](const Simulations& a, const Simulations& b) {
    const auto fields = a.fields();
    return fields.size() == b.fields().size() && std::ranges::all_of(fields, [&b](const Simulations::Field& field) {
             const Array* other = b.find(field.name);
             if (!other || other->rank() != field.values->rank()) return false;
             return std::equal(other->shape().begin() + 1, other->shape().end(), field.values->shape().begin() + 1);
           });
  };
  for (const SimulationShare& share : shares)
    if (!is_like(share.simulations, shares[0].simulations))
      throw SimulationError(
          "the simulations of two ranks have other fields or shapes; a model whose shapes depend on the batch must say so "
          "(BatchTraits::depends_on_batch)");
  for (const SimulationShare& share : shares)
    for (std::int64_t i = 0; i < share.simulations.batch_size(); ++i) rows.push_back({&share.simulations, i});
  return Simulations::gather(rows);
}

}  // namespace bayesflow::training

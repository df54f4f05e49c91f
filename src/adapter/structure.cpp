#include "adapter/structure.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace bayesflow::adapter {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// Whether a step needs a field of a width, whose columns it names.
template <class S>
constexpr bool kHasColumns = requires(const S& s) {
  s.columns;
};

std::vector<std::int64_t> columns_of(const std::vector<std::int64_t>& given, std::int64_t width) {
  if (!given.empty()) return given;
  std::vector<std::int64_t> all(static_cast<std::size_t>(width));
  std::iota(all.begin(), all.end(), std::int64_t{0});
  return all;
}
std::vector<std::int64_t> others(const std::vector<std::int64_t>& own, std::int64_t width) {
  std::vector<std::int64_t> out;
  for (std::int64_t c = 0; c < width; ++c)
    if (std::ranges::find(own, c) == own.end()) out.push_back(c);
  return out;
}

/// These columns of an array of rows of `width` numbers.
Array take_columns(const Array& from, std::int64_t width, const std::vector<std::int64_t>& columns) {
  Shape shape = from.shape();
  shape.set(-1, static_cast<std::int64_t>(columns.size()));
  Array out = uninitialized_array(shape);
  double* to = out.data();
  for (std::int64_t row = 0; row < from.size() / width; ++row)
    for (const std::int64_t c : columns) *to++ = from.data()[row * width + c];
  return out;
}

FieldRole role_of(const Simulations& in, std::string_view field) {
  FieldRole out = FieldRole::per_simulation;
  in.for_each([&](std::string_view name, FieldRole role, const Array&) {
    if (name == field) out = role;
  });
  return out;
}

/// A batch of single numbers is one column.
Array as_columns(Array values, FieldRole role) {
  if (role == FieldRole::per_simulation && values.rank() == 1) return values.expand_dims(1);
  if (role == FieldRole::shared && values.rank() == 0) return values.reshape({1});
  return values;
}

void no_target(const Place& at, const char* why) {
  if (at.is_target()) at.refuse("{} is what is learnt, and {}; let the step act on another field", at.field, why);
}

void check_count(const OneHot& step, const Place& at) {
  for (const double c : step.categories)
    if (!std::isfinite(c)) at.refuse("a category is {}; it must be a finite number", c);
  if (std::ranges::adjacent_find(step.categories, std::greater_equal<>()) != step.categories.end())
    at.refuse("the categories must increase, each named once");
}
template <class S>
void check_count(const S& /*step*/, const Place& /*at*/) {}

}  // namespace

template <Structural S>
void validate(const S& step, const Place& at) {
  check_count(step, at);
  if constexpr (std::same_as<S, Join>) {
    if (step.fields.size() < 2) at.refuse("it joins at least two fields; got {}", step.fields.size());
    std::set<std::string> once(step.fields.begin(), step.fields.end());
    if (once.size() != step.fields.size() || once.contains("")) at.refuse("it must name each field once");
  }
  if constexpr (requires { step.to; })
    if (step.to.empty() || step.to == step.field) at.refuse("\"to\" is \"{}\"; it must be the name of another field", step.to);
  if constexpr (std::same_as<S, Split>)
    if (step.columns.empty() && step.names.empty()) at.refuse("it takes no columns out; name some");
  if constexpr (std::same_as<S, FillMissing>)
    if (!std::isfinite(step.value)) at.refuse("the value is {}; it must be finite", step.value);
}

template <Structural S>
void check_fitted(const S& step, std::int64_t width, const Place& at) {
  if constexpr (kHasColumns<S>) {
    if (!step.names.empty()) at.refuse("it names columns, and was fitted");
    if constexpr (std::same_as<S, Split> || std::same_as<S, Drop>)
      if (static_cast<std::int64_t>(step.columns.size()) == width)
        at.refuse("it takes all {} columns; leave one, or name the field alone", width);
  }
  if constexpr (std::same_as<S, Join>)
    if (step.widths.size() != step.fields.size()) at.refuse("it has {} widths of {} fields", step.widths.size(), step.fields.size());
  if constexpr (std::same_as<S, OneHot>) {
    check_count(step, at);
    if (step.categories.empty()) at.refuse("it has no categories, and was fitted");
  }
}

template <Structural S>
void fit(S& step, std::span<const Simulations> parts, std::int64_t width, const Place& at, std::vector<std::string>& /*notes*/) {
  if constexpr (std::same_as<S, OneHot>) {
    no_target(at, "draws of categories need a discrete posterior, which this is not");
    constexpr std::size_t kMost = 1000;
    std::set<double> found(step.categories.begin(), step.categories.end());
    if (step.categories.empty())
      for (const Simulations& part : parts) {
        const Array& values = *part.find(at.field);
        const Rows rows(part, at.field, values);
        for (std::int64_t row = 0; row < rows.count(); ++row)
          for (const std::int64_t c : columns_of(step.columns, width))
            if (rows.counts(row)) found.insert(values.data()[row * width + c]);
        if (found.size() > kMost || std::ranges::any_of(found, [](double x) { return std::isnan(x); }))
          at.refuse("there are more than {} values, or missing ones; these are no categories", kMost);
      }
    step.categories.assign(found.begin(), found.end());
  } else if constexpr (std::same_as<S, Join>) {
    step.widths.clear();
    for (const std::string& name : step.fields) {
      const Array* values = parts.front().find(name);
      if (!values) at.refuse("there is no {}; give it, or join other fields", name);
      step.widths.push_back(Rows(parts.front(), name, *values).width());
    }
  } else if constexpr (std::same_as<S, FillMissing>) {
    no_target(at, "it is never missing");
  } else if constexpr (std::same_as<S, Split>) {
    no_target(at, "its parts would be learnt apart");
  } else if constexpr (std::same_as<S, AsSet> || std::same_as<S, AsSeries> || std::same_as<S, Broadcast>) {
    no_target(at, "its draws have no other shape");
  }
  check_fitted(step, width, at);
}

template <Structural S>
void forward(const S& step, std::int64_t width, Fields& fields, const Place& at) {
  Simulations& s = fields.values;
  if constexpr (std::same_as<S, Join>) {
    std::vector<Array> parts;
    Array log_det;
    for (const std::string& name : step.fields) {
      const Array* values = s.find(name);
      if (!values && at.targets.contains(name)) continue;
      if (!values) at.refuse("there is no {}; give it, or join other fields", name);
      parts.push_back(as_columns(*values, role_of(s, name)));
      if (const auto found = fields.log_det.find(name); found != fields.log_det.end())
        log_det = log_det.shape() == Shape{0} ? found->second : log_det + found->second;
    }
    if (parts.empty()) return;  // targets, of observed data
    if (parts.size() != step.fields.size())
      at.refuse("some of the fields {} are there, and others not; give all or none", fmt::join(step.fields, ", "));
    for (const Array& part : parts)
      if (part.rank() != parts[0].rank() || part.shape().slice(0, part.rank() - 1) != parts[0].shape().slice(0, part.rank() - 1))
        at.refuse(
            "{} of shape {} and another of shape {} cannot be joined: they must agree in all axes but the last; broadcast one of them "
            "before",
            step.fields[0], parts[0].shape().to_string(), part.shape().to_string());
    const FieldRole role = role_of(s, step.fields[0]);
    for (const std::string& name : step.fields) erase(s, name);
    put(s, step.field, concatenate(parts, -1), role);
    if (log_det.shape() != Shape{0}) fields.log_det[step.field] = std::move(log_det);
  } else {
    Array* values = find(s, at);
    if (!values) return;
    const FieldRole role = role_of(s, at.field);
    if constexpr (kHasColumns<S>) {
      if (!(std::same_as<S, Drop> && step.columns.empty())) {
        *values = as_columns(std::move(*values), role);
        require_width(Rows(s, at.field, *values), *values, width, at);
      }
    }
    if constexpr (std::same_as<S, Rename>) {
      Array moved = std::move(*values);
      erase(s, at.field);
      put(s, step.to, std::move(moved), role);
      if (auto node = fields.log_det.extract(at.field); !node.empty()) {
        node.key() = step.to;
        fields.log_det.insert(std::move(node));
      }
    } else if constexpr (std::same_as<S, Drop>) {
      if (step.columns.empty())
        erase(s, at.field);
      else
        *values = take_columns(*values, width, others(step.columns, width));
    } else if constexpr (std::same_as<S, Split>) {
      Array taken = take_columns(*values, width, step.columns), rest = take_columns(*values, width, others(step.columns, width));
      put(s, at.field, std::move(rest), role);
      put(s, step.to, std::move(taken), role);
    } else if constexpr (std::same_as<S, Flatten>) {
      const std::int64_t rows = values->rank() ? values->dim(0) : 1;
      *values = values->reshape({rows, values->size() / std::max<std::int64_t>(rows, 1)});
    } else if constexpr (std::same_as<S, AsSet>) {
      if (values->rank() != 2) at.refuse("{} must be of shape (data sets, observations); got {}", at.field, values->shape().to_string());
      *values = values->expand_dims(2);
    } else if constexpr (std::same_as<S, AsSeries>) {
      if (values->rank() == 2) *values = values->expand_dims(2);
      if (values->rank() != 3)
        at.refuse("{} must be of shape (data sets, times) or (data sets, times, columns); got {}", at.field, values->shape().to_string());
      const Shape wanted{values->dim(0), values->dim(1)};
      Array times;
      if (const Array* given = s.find(step.times)) {
        times = *given;
        if (times.shape() == Shape{values->dim(1)}) times = times.broadcast_to(wanted);
        if (times.shape() != wanted)
          at.refuse("{} of shape {} does not go with {} of shape {}; it must be {}", step.times, times.shape().to_string(), at.field,
                    values->shape().to_string(), wanted.to_string());
        erase(s, step.times);
      } else {
        times = Array::linspace(0, 1, values->dim(1)).broadcast_to(wanted);
      }
      Array made = concatenate({*s.find(at.field), times.expand_dims(2)}, -1);
      put(s, at.field, std::move(made), role);
    } else if constexpr (std::same_as<S, Broadcast>) {
      const Array* like = s.find(step.to);
      if (!like) at.refuse("there is no {}, over whose axes it is to be repeated; name another field", step.to);
      Array source = as_columns(*values, role);
      if (role == FieldRole::shared) source = source.flatten().expand_dims(0);
      while (source.rank() < like->rank()) source = source.expand_dims(source.rank() - 1);
      Shape shape = like->shape();
      shape.set(-1, source.dim(-1));
      try {
        source = source.broadcast_to(shape);
      } catch (const ShapeError&) {
        at.refuse("{} of shape {} cannot be repeated over the axes of {} of shape {}", at.field, values->shape().to_string(), step.to,
                  like->shape().to_string());
      }
      erase(s, at.field);
      put(s, at.field, std::move(source), FieldRole::per_simulation);
    } else if constexpr (std::same_as<S, OneHot>) {
      const std::vector<std::int64_t> own = columns_of(step.columns, width), rest = others(own, width);
      const auto classes = static_cast<std::int64_t>(step.categories.size());
      const std::int64_t made_width = static_cast<std::int64_t>(rest.size()) + classes * static_cast<std::int64_t>(own.size());
      Shape shape = values->shape();
      shape.set(-1, made_width);
      Array made(shape, 0.0);
      const Rows rows(s, at.field, *values);
      for (std::int64_t row = 0; row < rows.count(); ++row) {
        double* to = made.data() + row * made_width;
        for (const std::int64_t c : rest) *to++ = values->data()[row * width + c];
        for (const std::int64_t c : own) {
          const double x = values->data()[row * width + c];
          const auto category = std::ranges::lower_bound(step.categories, x);
          if (category != step.categories.end() && *category == x)
            to[category - step.categories.begin()] = 1;
          else if (rows.counts(row))
            throw ArgumentError(
                fmt::format("{}: {} = {} in row {}, which is none of the categories {}; name all of them, or leave such data out",
                            at.to_string(), at.column(c), x, row, fmt::join(step.categories, ", ")));
          to += classes;
        }
      }
      *values = std::move(made);
    } else if constexpr (std::same_as<S, FillMissing>) {
      const std::vector<std::int64_t> own = columns_of(step.columns, width);
      const std::int64_t made_width = width + (step.indicator ? static_cast<std::int64_t>(own.size()) : 0);
      Shape shape = values->shape();
      shape.set(-1, made_width);
      Array made(shape, 0.0);
      for (std::int64_t row = 0; row < values->size() / width; ++row) {
        double* to = std::copy_n(values->data() + row * width, width, made.data() + row * made_width);
        double* const first = to - width;
        for (const std::int64_t c : own) {
          const bool missing = std::isnan(first[c]);
          if (missing) first[c] = step.value;
          if (step.indicator) *to++ = missing ? 1 : 0;
        }
      }
      *values = std::move(made);
    }
  }
}

template <Structural S>
void inverse(const S& step, std::int64_t width, Fields& fields, const Place& /*at*/) {
  Simulations& s = fields.values;
  if constexpr (std::same_as<S, Rename>) {
    const Array* values = s.find(step.to);
    if (!values) return;
    Array moved = *values;
    erase(s, step.to);
    put(s, step.field, std::move(moved), FieldRole::per_simulation);
  } else if constexpr (std::same_as<S, Join>) {
    const Array* found = s.find(step.field);
    if (!found) return;
    const Array joined = *found;
    std::int64_t total = 0, first = 0;
    for (const std::int64_t w : step.widths) total += w;
    if (step.widths.size() != step.fields.size() || joined.rank() == 0 || joined.dim(-1) != total) return;
    erase(s, step.field);
    for (std::size_t i = 0; i < step.fields.size(); first += step.widths[i++])
      put(s, step.fields[i], joined.columns(first, first + step.widths[i]), FieldRole::per_simulation);
  } else if constexpr (std::same_as<S, Drop>) {
    // A parameter that is not learnt has no draws.
    Array* values = const_cast<Array*>(s.find(step.field));
    if (!values || step.columns.empty()) return;
    const std::vector<std::int64_t> rest = others(step.columns, width);
    Shape shape = values->shape();
    shape.set(-1, width);
    Array made(shape, kNaN);
    for (std::int64_t row = 0; row < made.size() / width; ++row)
      for (std::size_t k = 0; k < rest.size(); ++k)
        made.data()[row * width + rest[k]] = values->data()[row * static_cast<std::int64_t>(rest.size()) + static_cast<std::int64_t>(k)];
    *values = std::move(made);
  }
}

template <Structural S>
void rename(const S& step, std::map<std::string, std::vector<std::string>>& names) {
  const auto known = names.find(step.field);
  if constexpr (std::same_as<S, Rename>) {
    if (known == names.end()) return;
    std::vector<std::string> moved = std::move(known->second);
    names.erase(known);
    names[step.to] = std::move(moved);
  } else if constexpr (std::same_as<S, Drop>) {
    if (known == names.end() || step.columns.empty()) return;
    std::vector<std::string> rest;
    for (const std::int64_t c : others(step.columns, static_cast<std::int64_t>(known->second.size())))
      rest.push_back(known->second[static_cast<std::size_t>(c)]);
    known->second = std::move(rest);
  } else if constexpr (std::same_as<S, Join>) {
    std::vector<std::string> joined;
    for (std::size_t i = 0; i < step.fields.size() && i < step.widths.size(); ++i) {
      const auto part = names.find(step.fields[i]);
      for (std::int64_t c = 0; c < step.widths[i]; ++c)
        joined.push_back(part != names.end() && static_cast<std::int64_t>(part->second.size()) == step.widths[i]
                             ? part->second[static_cast<std::size_t>(c)]
                         : step.widths[i] == 1 ? step.fields[i]
                                               : fmt::format("{}_{}", step.fields[i], c));
    }
    names[step.field] = std::move(joined);
  } else if constexpr (std::same_as<S, Split> || std::same_as<S, OneHot> || std::same_as<S, Flatten>) {
    names.erase(step.field);
  }
}

// NOLINTBEGIN(bugprone-macro-parentheses): a type in parentheses is no type
#define BAYESFLOW_STRUCTURAL(S)                                                                               \
  template void validate(const S&, const Place&);                                                             \
  template void check_fitted(const S&, std::int64_t, const Place&);                                           \
  template void fit(S&, std::span<const Simulations>, std::int64_t, const Place&, std::vector<std::string>&); \
  template void forward(const S&, std::int64_t, Fields&, const Place&);                                       \
  template void inverse(const S&, std::int64_t, Fields&, const Place&);                                       \
  template void rename(const S&, std::map<std::string, std::vector<std::string>>&)
// NOLINTEND(bugprone-macro-parentheses)
BAYESFLOW_STRUCTURAL(OneHot);
BAYESFLOW_STRUCTURAL(Broadcast);
BAYESFLOW_STRUCTURAL(Join);
BAYESFLOW_STRUCTURAL(Split);
BAYESFLOW_STRUCTURAL(Drop);
BAYESFLOW_STRUCTURAL(Rename);
BAYESFLOW_STRUCTURAL(Flatten);
BAYESFLOW_STRUCTURAL(AsSet);
BAYESFLOW_STRUCTURAL(AsSeries);
BAYESFLOW_STRUCTURAL(FillMissing);
#undef BAYESFLOW_STRUCTURAL

}  // namespace bayesflow::adapter

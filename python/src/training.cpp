/// Trainers.
#include <fmt/format.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/tuple.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <tuple>

#include "amortizers.hpp"
#include "arrays.hpp"
#include "bayesflow/data/configurator.hpp"
#include "bayesflow/data/sources.hpp"
#include "bayesflow/diagnostics/misspecification.hpp"
#include "bayesflow/training/trainer.hpp"
#include "bayesflow/training/training_steps.hpp"
#include "core/fork.hpp"
#include "described_dict.hpp"
#include "module.hpp"
#include "training/interrupt.hpp"

namespace bayesflow::python {
namespace {

using SharedObject = std::shared_ptr<nb::object>;
SharedObject share(nb::object object) {
  return {new nb::object(std::move(object)), [](nb::object* o) {
            const nb::gil_scoped_acquire gil;
            delete o;
          }};
}

/// A Python configurator: forward dictionary -> {role: float64 array or None}; None: the amortizer's own.
Configurator configurator_of(nb::object function) {
  if (function.is_none()) return {};
  return [shared = share(std::move(function))](const Simulations& simulations) {
    const nb::gil_scoped_acquire gil;
    try {
      return batch_of(nb::cast<nb::dict>((*shared)(to_dict(simulations))));
    } catch (nb::python_error& error) {
      throw PythonFailure(error);
    }
  };
}

/// Trainings that are going on. The interpreter must not end under one that runs in another thread, so it stops them first.
struct Running {
  std::mutex mutex;
  std::condition_variable changed;
  int count = 0;
  std::atomic<bool> ending{false};
};
detail::PerProcess<Running> of_this_process;  // none of them is in a forked child
Running& running() { return of_this_process.get(); }

/// Lives from before the GIL is given away until it is held again.
class RunningGuard {
 public:
  RunningGuard() { change(1); }
  ~RunningGuard() {
    if (process_ == detail::process_generation()) change(-1);
  }
  RunningGuard(const RunningGuard&) = delete;
  RunningGuard& operator=(const RunningGuard&) = delete;

 private:
  static void change(int by) {
    const std::lock_guard lock(running().mutex);
    running().count += by;
    running().changed.notify_all();
  }
  std::uint64_t process_ = detail::process_generation();
};

/// Asks all trainings to stop after their present step, and waits for them.
void end_trainings(double seconds) {
  running().ending = true;
  const nb::gil_scoped_release nogil;
  std::unique_lock lock(running().mutex);
  running().changed.wait_for(lock, std::chrono::duration<double>(seconds), [] { return running().count == 0; });
}

/// Calls Python at most every `interval`, and at the ends of epochs: between two calls a step costs no GIL.
ProgressCallback progress_of(nb::object function, double interval) {
  using Clock = std::chrono::steady_clock;
  return [shared = share(std::move(function)), interval, last = Clock::time_point{}](const Progress& p) mutable {
    if (running().ending.load(std::memory_order_relaxed)) return Control::stop;
    const auto now = Clock::now();
    if (!p.epoch_done && p.iteration > 1 && p.iteration < p.iterations && std::chrono::duration<double>(now - last).count() < interval)
      return Control::proceed;
    last = now;
    const nb::gil_scoped_acquire gil;
    try {
      const nb::object validation = p.validation ? nb::cast(p.validation->objective()) : nb::none();
      const nb::object answer =
          (*shared)(p.epoch, p.epochs, p.iteration, p.iterations,
                    nb::make_tuple(p.losses.objective() - p.losses["summary_loss"], p.losses["summary_loss"], p.losses[kWeightDecay]),
                    p.average_loss, p.learning_rate, p.epoch_done, validation);
      return nb::cast<bool>(answer) ? Control::proceed : Control::stop;
    } catch (nb::python_error& error) {
      throw PythonFailure(error);
    }
  };
}

/// What a user's callback is given.
struct TrainingState {
  Progress progress;
  std::optional<LossTerms> validation;
};

nb::dict terms_by_name(const LossTerms& terms) {
  nb::dict out;
  for (std::size_t i = 0; i < terms.size(); ++i) out[terms.name(i).c_str()] = terms.value(i);
  return out;
}

/// Calls Python after every step and epoch. Only False ends the run.
ProgressCallback callback_of(nb::object function) {
  return [shared = share(std::move(function))](const Progress& p) {
    if (running().ending.load(std::memory_order_relaxed)) return Control::stop;
    const nb::gil_scoped_acquire gil;
    try {
      const nb::object answer = (*shared)(TrainingState{p, p.epoch_done && p.validation ? std::optional(*p.validation) : std::nullopt});
      return answer.is_none() || nb::cast<bool>(answer) ? Control::proceed : Control::stop;
    } catch (nb::python_error& error) {
      throw PythonFailure(error);
    } catch (const nb::cast_error&) {
      throw ConfigurationError("Trainer: a callback must return True or None to go on, or False to end training");
    }
  };
}

/// A communicator of mpi4py, or an object with these of its methods: Get_rank, Get_size, Allgather and, if there is one, Alltoallv. They
/// are given views of memory that is valid during the call.
class PythonCommunicator final : public Communicator {
 public:
  explicit PythonCommunicator(nb::object object)
      : rank_(nb::cast<int>(object.attr("Get_rank")())),
        size_(nb::cast<int>(object.attr("Get_size")())),
        has_all_to_all_(nb::hasattr(object, "Alltoallv")),
        object_(share(std::move(object))) {}
  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int size() const override { return size_; }

  void all_gather(std::span<const std::byte> mine, std::span<std::byte> all) override {
    call([&] { object_->attr("Allgather")(view(mine), view(all)); });
  }
  void all_to_all(std::span<const std::byte> sent, std::span<const std::size_t> sent_bytes, std::span<std::byte> received,
                  std::span<const std::size_t> received_bytes) override {
    if (!has_all_to_all_) return Communicator::all_to_all(sent, sent_bytes, received, received_bytes);
    call([&] {
      object_->attr("Alltoallv")(nb::make_tuple(view(sent), lengths(sent_bytes)), nb::make_tuple(view(received), lengths(received_bytes)));
    });
  }

 private:
  template <class F>
  static void call(const F& f) {
    const nb::gil_scoped_acquire gil;
    try {
      f();
    } catch (nb::python_error& error) {
      throw PythonFailure(error);
    }
  }
  static nb::object view(const std::byte* bytes, std::size_t count, int flags) {
    static constexpr std::byte kNothing{};  // of no bytes there is no place
    void* at = const_cast<std::byte*>(count ? bytes : &kNothing);
    return nb::steal(PyMemoryView_FromMemory(static_cast<char*>(at), static_cast<Py_ssize_t>(count), flags));
  }
  static nb::object view(std::span<const std::byte> bytes) { return view(bytes.data(), bytes.size(), PyBUF_READ); }
  static nb::object view(std::span<std::byte> bytes) { return view(bytes.data(), bytes.size(), PyBUF_WRITE); }
  /// (counts, displacements)
  static nb::tuple lengths(std::span<const std::size_t> bytes) {
    nb::list counts, offsets;
    std::size_t at = 0;
    for (const std::size_t n : bytes) {
      counts.append(n);
      offsets.append(at);
      at += n;
    }
    return nb::make_tuple(counts, offsets);
  }

  int rank_, size_;
  bool has_all_to_all_;
  SharedObject object_;
};

const char* stop_name(TrainingSummary::Stop stop) {
  switch (stop) {
    case TrainingSummary::Stop::completed:
      return "completed";
    case TrainingSummary::Stop::interrupted:
      return "interrupted";
    case TrainingSummary::Stop::stopped_by_callback:
      return "stopped_by_callback";
    case TrainingSummary::Stop::diverged:
      return "diverged";
    case TrainingSummary::Stop::stopped_early:
      return "stopped_early";
    case TrainingSummary::Stop::plateau:
      return "plateau";
  }
  return "";
}

/// For pickle: names and values.
nb::tuple terms_state(const LossTerms& terms) {
  const std::span<const double> values = terms.values();
  return nb::make_tuple(terms.names() ? *terms.names() : std::vector<std::string>(), std::vector<double>(values.begin(), values.end()));
}
LossTerms terms_of(const nb::handle& state) {
  const auto [names, values] = nb::cast<std::pair<std::vector<std::string>, std::vector<double>>>(state);
  LossTerms terms(std::make_shared<const std::vector<std::string>>(names));
  for (std::size_t i = 0; i < values.size(); ++i) terms.set(i, values[i]);
  return terms;
}

nb::tuple state_of(const TrainingSummary& s) {
  nb::list steps, epochs;
  for (const StepRecord& r : s.history.steps) steps.append(nb::make_tuple(terms_state(r.losses), r.learning_rate, r.gradient_norm));
  for (const EpochRecord& r : s.history.epochs)
    epochs.append(nb::make_tuple(terms_state(r.train), r.validated, terms_state(r.validation), r.steps, r.seconds));
  return nb::make_tuple(static_cast<int>(s.stop), s.call, s.reason, steps, epochs, s.warnings, s.simulations, s.dropped, s.redrawn,
                        s.resumed, s.checkpoint, s.kept_epoch, s.seconds, s.simulate_seconds, s.gradient_seconds, s.update_seconds,
                        s.validate_seconds, s.seed, s.threads, s.instruction_set, s.settings, s.identity);
}

TrainingSummary summary_of(const nb::tuple& state) {
  TrainingSummary s;
  std::size_t i = 0;
  const auto next = [&](auto& to) { to = nb::cast<std::decay_t<decltype(to)>>(state[i++]); };
  int stop = 0;
  next(stop), next(s.call), next(s.reason);
  for (const nb::handle r : nb::cast<nb::list>(state[i++]))
    s.history.steps.push_back({terms_of(r[0]), nb::cast<double>(r[1]), nb::cast<double>(r[2])});
  for (const nb::handle r : nb::cast<nb::list>(state[i++]))
    s.history.epochs.push_back(
        {terms_of(r[0]), nb::cast<bool>(r[1]), terms_of(r[2]), nb::cast<std::int64_t>(r[3]), nb::cast<double>(r[4])});
  next(s.warnings), next(s.simulations), next(s.dropped), next(s.redrawn), next(s.resumed), next(s.checkpoint), next(s.kept_epoch),
      next(s.seconds);
  next(s.simulate_seconds), next(s.gradient_seconds), next(s.update_seconds), next(s.validate_seconds), next(s.seed), next(s.threads);
  next(s.instruction_set);
  if (i < state.size()) next(s.settings), next(s.identity);  // absent in pickles of earlier versions
  s.stop = static_cast<TrainingSummary::Stop>(stop);
  return s;
}

/// The terms of a run; those of a single amortizer are always three.
std::vector<std::string> loss_names_of(const TrainingSummary& summary) {
  if (!summary.history.steps.empty())
    if (const LossTerms& first = summary.history.steps.front().losses; first.size() && first.name(0) != "loss") return *first.names();
  return {"loss", "summary_loss", std::string(kWeightDecay)};
}

Array losses_of(const TrainingSummary& summary, bool validation) {
  const std::vector<std::string> names = loss_names_of(summary);
  std::vector<LossTerms> rows;
  if (validation) {
    for (const EpochRecord& epoch : summary.history.epochs)
      if (epoch.validated) rows.push_back(epoch.validation);
  } else {
    for (const StepRecord& step : summary.history.steps) rows.push_back(step.losses);
  }
  Array out({static_cast<std::int64_t>(rows.size()), static_cast<std::int64_t>(names.size())});
  double* to = out.data();
  for (const LossTerms& row : rows)
    for (const std::string& name : names) *to++ = row[name];
  return out;
}

/// The options of a training function from its keyword arguments; None: not given. Simulations for validation are a dictionary.
template <class Options>
Options options_from(const nb::kwargs& given, const char* owner) {
  Options options;
  nb::dict fields;
  for (const auto& [name, value] : given) {
    if (nb::str("validation_sims").equal(name) && nb::isinstance<nb::dict>(value))
      options.run.validation_sims = simulations_from(nb::cast<nb::dict>(value));
    else if (!value.is_none())
      fields[name] = value;
  }
  DictReader::fill(options, fields, owner);
  return options;
}

template <class F>
TrainingSummary without_gil(F&& f) {
  const RunningGuard guard;
  const nb::gil_scoped_release nogil;
  return f();
}

}  // namespace

nn::Schedule schedule_of(nb::handle rate) {
  if (rate.is_none()) return {};
  if (nb::isinstance<nb::float_>(rate) || nb::isinstance<nb::int_>(rate)) return nn::constant(nb::cast<double>(rate));
  if (nb::isinstance<nb::tuple>(rate)) {
    const auto [kind, rates, steps] = nb::cast<std::tuple<std::string, std::vector<double>, std::vector<std::int64_t>>>(rate);
    if (kind == "cosine") return nn::cosine(rates.at(0), steps.at(0));
    if (kind == "exponential") return nn::exponential(rates.at(0), rates.at(1), steps.at(0));
    return nn::piecewise(steps, rates);
  }
  return [shared = share(nb::borrow(rate))](std::int64_t step) {
    const nb::gil_scoped_acquire gil;
    try {
      return nb::cast<double>(nb::float_((*shared)(step)));
    } catch (nb::python_error& error) {
      throw PythonFailure(error);
    }
  };
}

void bind_training(nb::module_& m) {
  m.def("end_trainings", &end_trainings, "seconds"_a);
  m.def(
      "claim_interruption",
      [] {
        static std::atomic<std::uint64_t> claimed{0};
        const std::uint64_t now = InterruptGuard::signals();
        return claimed.exchange(now) != now;
      },
      "True for the first caller after a signal that trainings have received.");
  m.def(
      "default_configurator",
      [](const nb::dict& forward) {
        DefaultConditions c = default_conditions(simulations_from(forward));
        nb::dict out;
        out[roles::parameters] = to_numpy(std::move(c.parameters));
        out[roles::summary_conditions] = to_numpy(std::move(c.summary_conditions));
        for (auto& [role, values] : {std::pair{roles::direct_conditions, &c.direct_conditions},
                                     {roles::summary_mask, &c.summary_mask},
                                     {roles::summary_times, &c.summary_times}})
          if (*values) out[role] = to_numpy(std::move(**values));
        return out;
      },
      "forward"_a);
  m.def(
      "likelihood_configurator", [](const nb::dict& forward) { return to_dict(likelihood_configurator(simulations_from(forward))); },
      "forward"_a);
  m.def(
      "sources_configurator",
      [](const std::vector<std::pair<std::string, std::vector<std::int64_t>>>& given, const nb::dict& forward) {
        std::vector<DataSource> sources;
        for (const auto& [name, extents] : given) {
          sources.push_back({.name = name, .shape = {}});
          for (const std::int64_t extent : extents) sources.back().shape.push_back(extent);
        }
        return to_dict(sources_configurator(std::move(sources))(simulations_from(forward)));
      },
      "sources"_a, "forward"_a);

  bind_described<EarlyStoppingOptions>(m, "EarlyStoppingOptions");
  bind_described<LRAdjusterOptions>(m, "LRAdjusterOptions");
  bind_described<nn::OptimizerOptions>(m, "OptimizerOptions")
      .def(
          "rate",
          [](const nn::OptimizerOptions& self, std::int64_t step) -> std::optional<double> {
            if (!self.learning_rate) return {};
            return self.learning_rate(step);
          },
          "step"_a, "The learning rate of a step (from 0); None if it is the trainer's.");
  nb::class_<TrainingSteps>(m, "TrainingSteps")
      .def(
          "__init__",
          [](TrainingSteps* self, const AmortizerBase& amortizer, const nn::OptimizerOptions& optimizer, std::uint64_t seed, int threads) {
            auto trained = in_own_class(amortizer, [](auto a) { return std::shared_ptr<Trainable>(std::make_shared<decltype(a)>(a)); });
            new (self) TrainingSteps(std::move(trained), optimizer, seed, threads);
          },
          "amortizer"_a, "optimizer"_a, "seed"_a, "threads"_a)
      .def(
          "step",
          [](TrainingSteps& self, const nb::dict& inputs) {
            const Batch batch = batch_of(inputs);
            LossTerms losses;
            {
              const nb::gil_scoped_release nogil;
              losses = self(batch);
            }
            nb::dict out;
            for (std::size_t i = 0; i < losses.size(); ++i) out[losses.name(i).c_str()] = losses.value(i);
            return out;
          },
          "inputs"_a)
      .def_prop_ro("steps_taken", &TrainingSteps::steps_taken);

  nb::class_<TrainingSummary>(m, "TrainingSummary", "How and why a run ended.")
      .def_prop_ro("stop", [](const TrainingSummary& s) { return stop_name(s.stop); })
      .def_ro("call", &TrainingSummary::call)
      .def_ro("settings", &TrainingSummary::settings, "All settings that the result depends on, as JSON.")
      .def_ro("identity", &TrainingSummary::identity, "Their hash, by which a checkpoint's run is recognized.")
      .def_ro("reason", &TrainingSummary::reason)
      .def_ro("warnings", &TrainingSummary::warnings)
      .def_ro("simulations", &TrainingSummary::simulations)
      .def_ro("dropped", &TrainingSummary::dropped)
      .def_ro("redrawn", &TrainingSummary::redrawn)
      .def_ro("resumed", &TrainingSummary::resumed)
      .def_ro("checkpoint", &TrainingSummary::checkpoint)
      .def_ro("kept_epoch", &TrainingSummary::kept_epoch,
              "From 1: early stopping put this epoch's weights back; 0: they are those of the last step.")
      .def_prop_ro(
          "gain_per_doubling", [](const TrainingSummary& s) { return s.convergence.gain_per_doubling; },
          "Nats that a run of twice the steps would gain, about; NaN: too few steps.")
      .def_prop_ro("gain_standard_error", [](const TrainingSummary& s) { return s.convergence.standard_error; })
      .def_prop_ro(
          "convergence", [](const TrainingSummary& s) { return s.convergence.sentence; }, "What further steps would gain, a sentence.")
      .def_ro("seconds", &TrainingSummary::seconds)
      .def_ro("simulate_seconds", &TrainingSummary::simulate_seconds)
      .def_ro("gradient_seconds", &TrainingSummary::gradient_seconds)
      .def_ro("update_seconds", &TrainingSummary::update_seconds)
      .def_ro("validate_seconds", &TrainingSummary::validate_seconds)
      .def_ro("seed", &TrainingSummary::seed)
      .def_ro("threads", &TrainingSummary::threads)
      .def_ro("instruction_set", &TrainingSummary::instruction_set)
      .def_prop_ro(
          "train_losses", [](const TrainingSummary& s) { return losses_of(s, false); }, "(steps, terms)")
      .def_prop_ro(
          "val_losses", [](const TrainingSummary& s) { return losses_of(s, true); }, "(validated epochs, terms)")
      .def_prop_ro("loss_names", &loss_names_of, "Of the terms; weight decay comes last.")
      .def_prop_ro("learning_rates",
                   [](const TrainingSummary& s) {
                     Array out({static_cast<std::int64_t>(s.history.steps.size())});
                     for (std::int64_t i = 0; i < out.size(); ++i) out[i] = s.history.steps[static_cast<std::size_t>(i)].learning_rate;
                     return out;
                   })
      .def_prop_ro("steps_per_epoch",
                   [](const TrainingSummary& s) {
                     std::vector<std::int64_t> out;
                     for (const EpochRecord& epoch : s.history.epochs) out.push_back(epoch.steps);
                     return out;
                   })
      .def("__getstate__", &state_of)
      .def("__setstate__", [](TrainingSummary& s, const nb::tuple& state) { new (&s) TrainingSummary(summary_of(state)); })
      .def("brief", &TrainingSummary::brief, "One line.")
      .def("full", &TrainingSummary::full, "Several lines.");

  const auto of_progress = [](auto member) { return [member](const TrainingState& s) { return s.progress.*member; }; };
  nb::class_<TrainingState>(m, "TrainingState", "Where a run stands after a step, or, if epoch_done, after an epoch and its validation.")
      .def_prop_ro("epoch", of_progress(&Progress::epoch), "From 1.")
      .def_prop_ro("epochs", of_progress(&Progress::epochs), "How many there are.")
      .def_prop_ro("iteration", of_progress(&Progress::iteration), "Of the epoch, from 1.")
      .def_prop_ro("iterations", of_progress(&Progress::iterations), "Of the epoch.")
      .def_prop_ro(
          "losses", [](const TrainingState& s) { return terms_by_name(s.progress.losses); },
          "Terms of this step's loss by name; weight_decay is one of them.")
      .def_prop_ro("average_loss", of_progress(&Progress::average_loss), "Without weight decay; mean over the epoch so far.")
      .def_prop_ro("learning_rate", of_progress(&Progress::learning_rate), "Of this step.")
      .def_prop_ro("iterations_per_second", of_progress(&Progress::iterations_per_second), "In this epoch so far.")
      .def_prop_ro("seconds_left", of_progress(&Progress::seconds_left), "Of the whole run, if it goes on so.")
      .def_prop_ro("epoch_done", of_progress(&Progress::epoch_done), "Whether this is the call after an epoch.")
      .def_prop_ro(
          "validation",
          [](const TrainingState& s) -> nb::object { return s.validation ? nb::object(terms_by_name(*s.validation)) : nb::none(); },
          "Terms of the validation loss by name, if epoch_done and there is validation; else None.")
      .def("__repr__", [](const TrainingState& s) {
        const Progress& p = s.progress;
        return fmt::format("<TrainingState: epoch {} of {}, iteration {} of {}, loss {:.4g}{}>", p.epoch, p.epochs, p.iteration,
                           p.iterations, p.losses.objective(), p.epoch_done ? ", epoch done" : "");
      });

  nb::class_<Trainer>(m, "Trainer")
      .def(
          "__init__",
          [](Trainer* self, const AmortizerBase& amortizer, const GenerativeModel* model, nb::object configurator, nb::object progress,
             double progress_interval, nb::object callback, nb::object communicator, const nb::kwargs& fields) {
            TrainerOptions options{
                .configurator = configurator_of(std::move(configurator)),
                .logger = python_logger(),
                .progress = callback.is_none() ? progress_of(std::move(progress), progress_interval) : callback_of(std::move(callback))};
            DictReader::fill(options, fields, "TrainerOptions");
            if (!communicator.is_none()) options.communicator = std::make_shared<PythonCommunicator>(std::move(communicator));
            auto trained = in_own_class(amortizer, [](auto a) { return std::shared_ptr<Trainable>(std::make_shared<decltype(a)>(a)); });
            const nb::gil_scoped_release nogil;
            if (model)
              new (self) Trainer(std::move(trained), *model, std::move(options));
            else
              new (self) Trainer(std::move(trained), std::move(options));
          },
          "amortizer"_a, "model"_a.none(), "configurator"_a.none(), "progress"_a, "progress_interval"_a, "callback"_a.none(),
          "communicator"_a.none(), "fields"_a)
      .def_prop_ro("runs", [](const Trainer& self) { return self.runs(); })
      .def("release_checkpoints", &Trainer::release_checkpoints, nb::call_guard<nb::gil_scoped_release>())
      .def(
          "configure", [](const Trainer& self, const nb::dict& forward) { return to_dict(self.configure(simulations_from(forward))); },
          "forward"_a)
      .def(
          "finite", [](const Trainer& self, const nb::dict& forward) { return to_dict(self.finite(simulations_from(forward))); },
          "forward"_a)
      .def(
          "train_online",
          [](Trainer& self, const nb::kwargs& given) {
            const auto options = options_from<OnlineOptions>(given, "OnlineOptions");
            return without_gil([&] { return self.train_online(options); });
          },
          "given"_a)
      .def(
          "train_offline",
          [](Trainer& self, const nb::object& data, const nb::kwargs& given) {
            const auto options = options_from<OfflineOptions>(given, "OfflineOptions");
            if (nb::isinstance<nb::str>(data)) {
              const auto path = path_of(nb::cast<std::string>(data));
              return without_gil([&] { return self.train_offline(path, options); });
            }
            std::vector<Simulations> parts;
            for (const nb::handle part : nb::cast<nb::list>(data)) parts.push_back(simulations_from(nb::cast<nb::dict>(part)));
            return without_gil([&] { return self.train_offline(parts, options); });
          },
          "data"_a, "given"_a)
      .def(
          "train_experience_replay",
          [](Trainer& self, const nb::kwargs& given) {
            const auto options = options_from<ReplayOptions>(given, "ReplayOptions");
            return without_gil([&] { return self.train_experience_replay(options); });
          },
          "given"_a)
      .def(
          "train_rounds",
          [](Trainer& self, const nb::kwargs& given) {
            const auto options = options_from<RoundsOptions>(given, "RoundsOptions");
            return without_gil([&] { return self.train_rounds(options); });
          },
          "given"_a)
      .def(
          "train_from_presimulation",
          [](Trainer& self, const std::string& path, const nb::object& loader, const nb::kwargs& given) {
            auto options = options_from<PresimulationOptions>(given, "PresimulationOptions");
            if (!loader.is_none())
              options.loader = [shared = share(loader)](const std::filesystem::path& file) {
                const nb::gil_scoped_acquire gil;
                try {
                  std::vector<Simulations> parts;
                  for (const nb::handle part : nb::cast<nb::list>((*shared)(file.string())))
                    parts.push_back(simulations_from(nb::cast<nb::dict>(part)));
                  return parts;
                } catch (nb::python_error& error) {
                  throw PythonFailure(error);
                }
              };
            return without_gil([&] { return self.train_from_presimulation(path_of(path), options); });
          },
          "path"_a, "loader"_a.none(), "given"_a)
      .def(
          "mmd_hypothesis_test",
          [](const Trainer& self, const nb::dict& data, std::optional<Array> reference, std::int64_t num_reference, std::int64_t num_null,
             bool bootstrap, double level, std::uint64_t seed, const nb::object& progress) {
            MisspecificationOptions options{
                .num_reference_simulations = num_reference,
                .configurator = [&self](const Simulations& s) { return self.configure(s); },
                .nonfinite = self.options().nonfinite,
                .test = {.num_null_samples = num_null, .alpha_level = level, .seed = seed, .bootstrap = bootstrap || reference}};
            if (!progress.is_none())
              options.progress = [shared = share(progress)](std::int64_t done, std::int64_t total) {
                const nb::gil_scoped_acquire gil;
                try {
                  (*shared)(done, total);
                } catch (nb::python_error& error) {
                  throw PythonFailure(error);
                }
              };
            const Batch observed = batch_of(data);
            const auto& amortizer = self.trained<AmortizedPosterior>();
            return unlocked([&] {
              return reference ? mmd_hypothesis_test(amortizer, observed, Batch{{roles::summary_conditions, *reference}}, options)
                               : mmd_hypothesis_test(amortizer, observed, self.model(), options);
            });
          },
          "data"_a, "reference"_a.none(), "num_reference_simulations"_a, "num_null_samples"_a, "bootstrap"_a, "level"_a, "seed"_a,
          "progress"_a.none());
}

}  // namespace bayesflow::python

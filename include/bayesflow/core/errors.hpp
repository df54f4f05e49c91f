/// Exception types. Every message says what was required, what was got, and what to change.
#pragma once

#include <stdexcept>
#include <string>

namespace bayesflow {

/// Base of everything this library throws on purpose.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// An option, or a combination of objects, that cannot work.
class ConfigurationError : public Error {
 public:
  using Error::Error;
};

/// An array whose rank or widths do not fit.
class ShapeError : public Error {
 public:
  using Error::Error;
};

/// A prior, simulator or context function failed, or returned something unusable. Names the simulation's index and parameters.
class SimulationError : public Error {
 public:
  using Error::Error;
};

/// Neither summary nor direct conditions are there.
class SummaryStatsError : public Error {
 public:
  using Error::Error;
};

/// A function argument outside its domain (negative scale, probability above one, ...).
class ArgumentError : public Error {
 public:
  using Error::Error;
};

/// A file that cannot be read or written.
class IoError : public Error {
 public:
  using Error::Error;
};

}  // namespace bayesflow

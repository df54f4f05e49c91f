/// An exception's whole sentence, for tests that pin messages down.
#pragma once

#include <exception>
#include <string>

namespace bayesflow {

template <class E, class F>
std::string sentence(F&& f) {
  try {
    f();
  } catch (const E& error) {
    return error.what();
  } catch (const std::exception& error) {
    return std::string("another exception: ") + error.what();
  }
  return "no exception";
}

}  // namespace bayesflow

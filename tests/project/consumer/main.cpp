#include <bayesflow/bayesflow.hpp>
#include <cstdio>

int main() {
  bayesflow::Rng rng(1);
  std::printf("bayesflow %s, %s\n", bayesflow::version(), bayesflow::instruction_set());
  return rng.normal({3, 2}).shape() == bayesflow::Shape{3, 2} ? 0 : 1;
}

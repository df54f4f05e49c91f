/// Part of every test program: with BAYESFLOW_TEST_LOCALE=comma, a locale of make_locales.sh, all its tests run where 2.5 is written 2,5,
/// in C and in C++ (ctest -L locale).
#include <gtest/gtest.h>

#include <clocale>
#include <cstdlib>
#include <locale>
#include <string>

namespace {

struct CommaPoint : std::numpunct<char> {
  char do_decimal_point() const override { return ','; }
  char do_thousands_sep() const override { return '.'; }
  std::string do_grouping() const override { return "\3"; }
};

class ForeignLocale : public ::testing::Environment {
 public:
  void SetUp() override {
    const char* name = std::getenv("BAYESFLOW_TEST_LOCALE");
    if (!name) return;
    std::locale::global(std::locale(std::locale(), new CommaPoint));  // first: it sets C's locale too
    ASSERT_TRUE(std::setlocale(LC_NUMERIC, name)) << "no locale " << name << " in LOCPATH: tests/locale/make_locales.sh makes it";
    ASSERT_STRNE(std::localeconv()->decimal_point, ".");
  }
};

[[maybe_unused]] const ::testing::Environment* const kLocale = ::testing::AddGlobalTestEnvironment(new ForeignLocale);

}  // namespace

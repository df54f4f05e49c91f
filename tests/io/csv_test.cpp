#include "io/csv.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <stdexcept>
#include <string>

#include "io/bzip2.hpp"
#include "io/support_files.hpp"
#include "support/expect.hpp"

namespace bayesflow {
namespace {

std::string from_hex(const std::string& hex) {
  std::string out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) out.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return out;
}

// What Python's bz2.compress made of b"", b"a,b\n1,2.5\n", b"a" * 100003, and of "%d,%d\n" % (i % 7, i % 3) for 60,000 i in blocks of
// 100,000 bytes.
const std::string kNothing = from_hex("425a683917724538509000000000");
const std::string kText = from_hex("425a683931415926535973b7da86000004590000100005320030002000310c0820d19a8460e0978bb9229c284839dbed4300");
const std::string kRun = from_hex("425a68393141592653592efb86e20000c61100808020000008200030cc0529a71842d810bc5dc914e14240bbee1b88");
const std::string kBlocks = from_hex(
    "425a6831314159265359eb75e7c10071e95800001000047f003001780020c98820c9880a553f5513fd54f4faa247c5123ea8919448d512328919448ca246a891aa2465"
    "12328919448d512328919448ca246a8919448ca2465123d51235448ca247c5123aa247fa891ea891ca2472891d51239448e5123aa2472891ca2472891ca2475448e512"
    "39448e5123d2840f3d4554b1420794554bca42078aa9487e314159265359466608e80061a35800001000047f003001780020c98820c9880a54d4d53fd54fd4ea891f54"
    "48ea8918a2462891951232a24628918a24731448e28918a24628918a24628918a24628918a2465448c51231448fef5448f9448f9448ed448ea891fea2479448d51236a"
    "246a891aa246a891aa246a891aa246a891b51235448d51235448d5123d2840f51552e5210394554b85081c954a43f18a0ac9329ac98069d3d001a882c00000800023f8"
    "01800ac0020c98820c98813554fd544ff553d3ea11f2847d423411908d423508c846423508d423211908d423211908c846a11a846423211ed08c846423e508ea11fe84"
    "7a847211d423908e423a847508e423908fbc847508d423908e423a847b52a93d8945e052579e28479128bc52a93c4409f85dc914e14240445ad2b4");

TEST(Bzip2, ReadsWhatBzip2Writes) {
  EXPECT_EQ(io::bunzip2(kNothing), "");
  EXPECT_EQ(io::bunzip2(kText), "a,b\n1,2.5\n");
  EXPECT_EQ(io::bunzip2(kRun), std::string(100'003, 'a'));
  std::string expected;
  for (int i = 0; i < 60'000; ++i) expected += std::to_string(i % 7) + "," + std::to_string(i % 3) + "\n";
  EXPECT_EQ(io::bunzip2(kBlocks), expected);
  EXPECT_EQ(io::bunzip2(kText + kNothing + kText), "a,b\n1,2.5\na,b\n1,2.5\n");
}

TEST(Bzip2, NoDamageGoesUnnoticed) {
  // A larger block size, padding and codes that no symbol uses leave the text as it is.
  for (std::size_t bit = 0; bit < 8 * (kText.size() - 1); ++bit) {
    std::string damaged = kText;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    try {
      EXPECT_EQ(io::bunzip2(damaged), "a,b\n1,2.5\n") << bit;
    } catch (const std::runtime_error&) {
    }
  }
  for (std::size_t length = 0; length < kBlocks.size(); ++length)
    EXPECT_THROW((void)io::bunzip2(kBlocks.substr(0, length)), std::runtime_error) << length;
  EXPECT_EQ(sentence<std::runtime_error>([] { (void)io::bunzip2(kRun, 100'002); }), "it holds more than 100002 bytes");
}

class Csv : public testing::Test {
 protected:
  Array read(const std::string& text, const std::string& name = "x.csv") {
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return io::read_csv(folder_ / name);
  }
  std::string failure(const std::string& text, const std::string& name = "x.csv") {
    const std::string prefix = "cannot read \"" + (folder_ / name).string() + "\": ";
    const std::string got = sentence<IoError>([&] { (void)read(text, name); });
    return got.starts_with(prefix) ? got.substr(prefix.size()) : got;
  }
  TemporaryFolder folder_;
};

TEST_F(Csv, ReadsNumbersBelowAHeader) {
  EXPECT_EQ(read("a,b\n1,2.5\n-3e-2,4\n"), Array::of({{1, 2.5}, {-0.03, 4}}));
  EXPECT_EQ(read("a,b\r\n1,2\r\n"), Array::of({{1, 2}}));
  EXPECT_EQ(read("a\n7"), Array({1, 1}, 7.0));
  EXPECT_EQ(read("a,b\n").shape(), (Shape{0, 2}));
  EXPECT_EQ(read(kText, "x.csv.bz2"), Array::of({{1, 2.5}}));
}

TEST_F(Csv, SaysWhatIsWrongAndWhere) {
  EXPECT_EQ(failure(""), "it has no header line");
  EXPECT_EQ(failure("a,b\n1,2\n3\n"), "line 3 has 1 columns; the header has 2");
  EXPECT_EQ(failure("a,b\n1,2,3\n"), "line 2 has 3 columns; the header has 2");
  EXPECT_EQ(failure("a,b\n1,x\n"), "line 2: \"x\" is where a number should be");
  EXPECT_EQ(failure("a,b\n1,\n"), "line 2: \"\" is where a number should be");
  EXPECT_EQ(failure("a,b\n1,2\n", "x.csv.bz2"), "it is damaged, or was not compressed by bzip2");
  EXPECT_NE(sentence<IoError>([&] { (void)io::read_csv(folder_ / "none.csv"); }).find("none.csv"), std::string::npos);
}

}  // namespace
}  // namespace bayesflow

#include "figures/markup.hpp"

#include <gtest/gtest.h>

namespace bayesflow::figures {
namespace {

std::string plain(std::string_view label) { return plain_text(parse_markup(label)); }
std::string html(std::string_view label) { return html_text(parse_markup(label)); }
std::string name(std::string_view text) { return plain(name_markup(text)); }

TEST(Markup, ReadsGreekWithIndices) {
  EXPECT_EQ(html("$\\theta_1$"), "<i>θ</i><sub>1</sub>");
  EXPECT_EQ(html("$\\sigma_{\\text{noise}}^2$"), "<i>σ</i><sub>noise</sub><sup>2</sup>");
  EXPECT_EQ(plain("$\\theta_{12}$"), "θ₁₂");
  EXPECT_EQ(plain("$R^2$ = 0.5"), "R² = 0.5");
  EXPECT_EQ(plain("$x_{ab}$"), "x_ab");
}

TEST(Markup, ReadsCommandsThatNamesUse) {
  EXPECT_EQ(plain("$\\hat{\\beta}$"), "β\u0302");
  EXPECT_EQ(plain("$\\log \\mu$"), "logμ");
  EXPECT_EQ(plain("$\\frac{a}{b}$"), "a/b");
  EXPECT_EQ(plain("$\\mathrm{drift\\_rate}$"), "drift_rate");
  EXPECT_EQ(plain("$a-b$"), "a−b");
  EXPECT_EQ(plain("$\\Delta t$ [ms]"), "Δt [ms]");
}

TEST(Markup, ShowsWhatItDoesNotKnow) {
  EXPECT_EQ(plain("$\\unknown{x}$"), "\\unknownx");
  EXPECT_EQ(plain("$\\"), "$\\");
  EXPECT_EQ(plain("cost $5"), "cost $5");
  EXPECT_EQ(plain("${{{$"), "");
  EXPECT_EQ(plain("$a}}}b$"), "ab");
  EXPECT_EQ(plain("$x_$"), "x");
  EXPECT_EQ(plain("$$"), "");
  EXPECT_EQ(plain("5\\$ and 6\\$"), "5$ and 6$");
}

TEST(Markup, NamesBecomeWhatTheyMean) {
  EXPECT_EQ(name_markup("theta_1"), "$\\theta_{1}$");
  EXPECT_EQ(name("theta_1"), "θ₁");
  EXPECT_EQ(name("sigma"), "σ");
  EXPECT_EQ(name("x_2"), "x₂");
  EXPECT_EQ(html(name_markup("mu_left")), "<i>μ</i><sub>left</sub>");
  EXPECT_EQ(name("$\\lambda_0$"), "λ₀");
}

TEST(Markup, OtherNamesStandLetterByLetter) {
  for (const std::string text : {"drift_rate", "theta_", "theta_1_2", "_x", "a", "it's \"5\" <b>&amp;</b>", "5$ off", "100 %", "{a}^b_c@~",
                                 "C:\\temp", "größe 漢字 🙂", "sum", "beta!", "x_y"})
    EXPECT_EQ(name(text), text);
}

TEST(Markup, EscapesForHtml) {
  EXPECT_EQ(html(name_markup("<script>\"&'")), "&lt;script&gt;&quot;&amp;&#39;");
  EXPECT_EQ(html("$<_{<}$"), "&lt;<sub>&lt;</sub>");
}

TEST(Markup, CleansWhatIsNoTextForXml) {
  EXPECT_EQ(clean_utf8("a\nb\tc"), "a b c");
  EXPECT_EQ(clean_utf8(std::string("a\0b", 3)), "a\uFFFDb");
  EXPECT_EQ(clean_utf8("\x1b[31m"), "\uFFFD[31m");
  EXPECT_EQ(clean_utf8("\xff\xfe"), "\uFFFD\uFFFD");
  EXPECT_EQ(clean_utf8("\xc3"), "\uFFFD");                      // cut short
  EXPECT_EQ(clean_utf8("\xc0\xaf"), "\uFFFD\uFFFD");            // overlong
  EXPECT_EQ(clean_utf8("\xed\xa0\x80"), "\uFFFD\uFFFD\uFFFD");  // a surrogate
  EXPECT_EQ(clean_utf8("θ漢🙂"), "θ漢🙂");
}

TEST(Markup, WidthGrowsWithTheText) {
  EXPECT_EQ(text_width({}), 0);
  EXPECT_NEAR(text_width(parse_markup("mm")), 2 * 0.974, 1e-12);
  EXPECT_LT(text_width(parse_markup("$x_2$")), text_width(parse_markup("x2")));
  EXPECT_NEAR(text_width(parse_markup("漢字")), 2.0, 1e-12);
}

}  // namespace
}  // namespace bayesflow::figures

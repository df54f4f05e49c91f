#include "bayesflow/figures/figure.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "bayesflow/core/errors.hpp"
#include "figures/scene.hpp"
#include "figures/support_text.hpp"

namespace bayesflow {
namespace {

using test::count, test::message_of, test::read;

using namespace figures;

std::filesystem::path temporary(const std::string& name) { return std::filesystem::temp_directory_path() / ("bayesflow_figures_" + name); }

Figure simple() {
  Panel panel;
  panel.title = "$\\theta_1$";
  panel.x.label = "a <b> & \"c\" 'd'";
  panel.elements = {Line{.x = {0, 1, 2}, .y = {0, 1, 0}, .label = "up & down"},
                    Points{.x = {0, 1}, .y = {0.5, 0.7}, .low = {0.4, 0.6}, .high = {0.6, 0.8}},
                    Band{.x = {0, 2}, .low = {0, 0}, .high = {1, 1}, .label = "band"},
                    Bars{.left = {0, 1}, .right = {1, 2}, .height = {0.2, 0.3}},
                    Text{.x = 0.5, .y = 0.5, .text = "inside", .in_axes = true},
                    Rule{.position = 0.5},
                    Rule{.kind = Rule::Kind::diagonal}};
  Figure figure;
  figure.title = "Title";
  figure.description = "What it shows.";
  figure.panels = {panel};
  return figure;
}

TEST(FigureSvg, HoldsEveryElementAndText) {
  const std::string svg = simple().svg();
  EXPECT_EQ(svg.rfind("<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\"", 0), 0U);
  EXPECT_NE(svg.find("aria-label=\"Title. What it shows.\""), std::string::npos);
  EXPECT_NE(svg.find("a &lt;b&gt; &amp; &quot;c&quot; &#39;d&#39;"), std::string::npos);
  EXPECT_NE(svg.find(">inside<"), std::string::npos);
  EXPECT_NE(svg.find("up &amp; down"), std::string::npos);
  EXPECT_NE(svg.find("<tspan font-style=\"italic\">θ</tspan><tspan dy="), std::string::npos);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_EQ(svg.find("inf"), std::string::npos);
  EXPECT_EQ(count(svg, "<path"), count(svg, "/>") - 1);  // each closed, and the white page
}

TEST(FigureSvg, LegendHasEachLabelOnce) {
  Figure figure = simple();
  figure.panels.push_back(figure.panels[0]);
  figure.panels[1].column = 1;
  EXPECT_EQ(count(figure.svg(), ">band<"), 1U);
}

TEST(FigureSvg, IsTheSameEveryTime) { EXPECT_EQ(simple().svg(), simple().svg()); }

TEST(Layout, InnerPanelsOfASharedGridHaveNoTickLabels) {
  Figure figure;
  figure.share_x = figure.share_y = true;
  for (int k = 0; k < 4; ++k) {
    Panel panel;
    panel.row = k / 2;
    panel.column = k % 2;
    panel.x.label = "here";
    panel.y.label = "there";
    panel.x.ticks = {{1, "tick x"}};
    panel.y.ticks = {{1, "tick y"}};
    panel.elements = {Line{.x = {0, k + 1.0}, .y = {0, 2}}};
    figure.panels.push_back(panel);
  }
  std::string svg = figure.svg();
  EXPECT_EQ(count(svg, ">tick x<"), 2U);
  EXPECT_EQ(count(svg, ">tick y<"), 2U);
  EXPECT_EQ(count(svg, ">here<"), 2U);
  EXPECT_EQ(count(svg, ">there<"), 2U);
  figure.panels.pop_back();  // now the upper right panel is the lowest of its column
  svg = figure.svg();
  EXPECT_EQ(count(svg, ">tick x<"), 2U);
  EXPECT_EQ(count(svg, ">here<"), 2U);
}

TEST(Layout, EverythingLiesOnThePage) {
  Figure figure = simple();
  figure.title = "A title that is much longer than the only panel of this figure is wide, so that it needs a second and a third line";
  figure.panels[0].title = "An endless title of a panel that cannot possibly fit above it, whatever one does, because it goes on and on";
  figure.panels[0].y.label = figure.panels[0].title;
  figure.panels[0].x.ticks = {{0, "a long name of a model"}, {1, "another long name"}, {2, "the longest name of all of them"}};
  std::get<Line>(figure.panels[0].elements[0]).label =
      "An entry of the legend that is also too long for the figure by far, and so is made shorter";
  const Scene scene = layout(figure);
  int labels = 0;
  for (const Item& item : scene.items) {
    if (const auto* label = std::get_if<Label>(&item)) {
      ++labels;
      const double width = text_width(label->text) * label->size;
      const double radians = label->angle * 3.14159265 / 180;
      const double start = label->anchor == Text::Anchor::start ? 0 : label->anchor == Text::Anchor::middle ? -width / 2 : -width;
      for (const double along : {start, start + width}) {
        const double x = label->at.x + along * std::cos(radians), y = label->at.y - along * std::sin(radians);
        EXPECT_GE(x, 0) << plain_text(label->text);
        EXPECT_LE(x, scene.width) << plain_text(label->text);
        EXPECT_GE(y, 0) << plain_text(label->text);
        EXPECT_LE(y, scene.height) << plain_text(label->text);
      }
    }
    if (const auto* strokes = std::get_if<Strokes>(&item))
      for (const Path& path : strokes->paths)
        for (const Position p : path) {
          EXPECT_TRUE(p.x >= 0 && p.x <= scene.width && p.y >= 0 && p.y <= scene.height);
        }
  }
  EXPECT_GT(labels, 8);
}

TEST(Layout, SurvivesDataThatAreNotFinite) {
  Figure figure = simple();
  figure.panels[0].elements = {Line{.x = {0, NAN, 2, INFINITY}, .y = {0, 1, NAN, 0}},
                               Points{.x = {NAN, 1}, .y = {0.5, INFINITY}},
                               Band{.x = {0, 1, 2}, .low = {0, NAN, 0}, .high = {1, 1, 1}},
                               Bars{.left = {0}, .right = {1}, .height = {NAN}},
                               Density{.columns = 2, .rows = 2, .values = {NAN, 1, 1, INFINITY}, .levels = {0.5, NAN}},
                               Cells{.rows = 1, .columns = 1, .values = {NAN}},
                               Rule{.position = NAN}};
  const std::string svg = figure.svg();
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  figure.panels[0].elements.clear();
  EXPECT_NE(figure.svg().find("<path"), std::string::npos);  // the axes
}

TEST(FigureErrors, NamePanelFieldAndNumbers) {
  Figure figure;
  EXPECT_EQ(message_of<ArgumentError>([&] { (void)figure.svg(); }), "a figure without panels cannot be drawn; add a panel");
  figure = simple();
  figure.panels[0].row = 2;
  std::get<Line>(figure.panels[0].elements[0]).y.pop_back();
  EXPECT_EQ(message_of<ArgumentError>([&] { (void)figure.svg(); }),
            "Figure, panel at row 2, column 0: Line::x has 3 values, but Line::y has 2; they must have equally many");
  figure = simple();
  std::get<Band>(figure.panels[0].elements[2]).opacity = 1.5;
  EXPECT_EQ(message_of<ArgumentError>([&] { (void)figure.svg(); }), "Figure, panel at row 0, column 0: opacity 1.5 is not between 0 and 1");
  figure = simple();
  figure.panels.push_back(figure.panels[0]);
  EXPECT_EQ(message_of<ArgumentError>([&] { (void)figure.svg(); }),
            "Figure, panel at row 0, column 0: there are two panels in this place; one place holds one");
  figure = simple();
  figure.panels[0].y.high = INFINITY;
  EXPECT_EQ(message_of<ArgumentError>([&] { (void)figure.svg(); }),
            "Figure, panel at row 0, column 0: an axis limit is inf; limits must be finite");
}

TEST(FigureJson, HoldsAllTheData) {
  Figure figure = simple();
  figure.title = "quotes \" and \\ and\nlines";
  std::get<Line>(figure.panels[0].elements[0]).y[1] = NAN;
  figure.panels[0].x.high = 2.5;
  figure.panels[0].elements.emplace_back(Density{.columns = 2, .rows = 1, .values = {0.1, 0.2}, .levels = {0.1}});
  figure.panels[0].elements.emplace_back(Cells{.rows = 1, .columns = 2, .values = {3, 4}});
  const auto json = nlohmann::json::parse(figure.json());
  EXPECT_EQ(json["title"], "quotes \" and \\ and\nlines");
  EXPECT_EQ(json["panel_width"], 150);
  EXPECT_EQ(json["share_x"], false);
  const auto& panel = json["panels"][0];
  EXPECT_EQ(panel["title"], "$\\theta_1$");
  EXPECT_EQ(panel["x"]["high"], 2.5);
  EXPECT_TRUE(panel["x"]["low"].is_null());
  std::vector<std::string> types;
  for (const auto& e : panel["elements"]) types.push_back(e["type"]);
  EXPECT_EQ(types, (std::vector<std::string>{"line", "points", "band", "bars", "text", "rule", "rule", "density", "cells"}));
  EXPECT_EQ(panel["elements"][0]["x"], (std::vector<double>{0, 1, 2}));
  EXPECT_TRUE(panel["elements"][0]["y"][1].is_null());
  EXPECT_EQ(panel["elements"][0]["color"], kRed);
  EXPECT_EQ(panel["elements"][1]["low"], (std::vector<double>{0.4, 0.6}));
  EXPECT_EQ(panel["elements"][6]["kind"], "diagonal");
}

TEST(FigureSplit, GivesEveryPanelItsLabels) {
  Figure figure = simple();
  figure.share_x = true;
  figure.panels.push_back(figure.panels[0]);
  figure.panels[1].row = 1;
  const auto parts = figure.split();
  ASSERT_EQ(parts.size(), 2U);
  for (const Figure& part : parts) EXPECT_NE(part.svg().find("a &lt;b&gt;"), std::string::npos);
}

TEST(FigureSave, WritesSvgByItself) {
  const auto path = temporary("builtin.svg");
  simple().save(path, {.gnuplot = "/no/such/program"});
  const std::string text = read(path);
  EXPECT_EQ(text.rfind("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg", 0), 0U);
  EXPECT_EQ(text.substr(text.find('\n') + 1), simple().svg());
  std::filesystem::remove(path);
}

TEST(FigureSave, WritesPngPdfAndSvgByGnuplot) {
  const auto png = temporary("it's a \"path\" with spaces.png"), pdf = temporary("g.pdf"), svg = temporary("g.svg");
  Figure figure = simple();
  figure.title = "it's \"quoted\" \\ {x}^y_z @ ~ & <tag> $\\theta_1$ 漢";
  figure.save(png, {.dpi = 72});
  EXPECT_EQ(read(png).substr(0, 8), "\x89PNG\r\n\x1a\n");
  figure.save(pdf);
  EXPECT_EQ(read(pdf).substr(0, 5), "%PDF-");
  figure.save(svg, {.renderer = Renderer::gnuplot});
  EXPECT_NE(read(svg).find("Produced by GNUPLOT"), std::string::npos);
  for (const auto& path : {png, pdf, svg}) std::filesystem::remove(path);
}

TEST(FigureSave, SaysWhatIsWrongWithAPath) {
  EXPECT_EQ(message_of<ArgumentError>([&] { simple().save("figure.jpg"); }),
            "\"figure.jpg\": the extension \".jpg\" names no kind of figure; use .png, .svg or .pdf");
  EXPECT_EQ(message_of<ArgumentError>([&] { simple().save("figure.png", {.renderer = Renderer::builtin}); }),
            "\"figure.png\": the built-in renderer writes SVG only; use the extension .svg, or Renderer::gnuplot");
  EXPECT_EQ(message_of<IoError>([&] { simple().save("/no/such/folder/figure.svg"); }),
            "cannot write \"/no/such/folder/figure.svg\": No such file or directory; check the path, and create the folder if it does not "
            "exist");
  EXPECT_EQ(message_of<IoError>([&] { simple().save("/dev/full/figure.svg"); }),
            "cannot write \"/dev/full/figure.svg\": Not a directory; a part of the path is a file, not a folder; check it");
}

TEST(FigureSave, AFolderInTheWayIsAnErrorAndLeavesNothingBehind) {
  const auto folder = temporary("folder");
  std::filesystem::create_directories(folder / "figure.svg");
  EXPECT_THROW(simple().save(folder / "figure.svg"), IoError);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1);
  std::filesystem::remove_all(folder);
}

TEST(FigureSave, SaysThatGnuplotIsMissing) {
  const std::string message = message_of<IoError>([&] { simple().save(temporary("x.png"), {.gnuplot = "no-such-gnuplot"}); });
  EXPECT_EQ(message,
            "PNG and PDF figures are drawn by gnuplot, but \"no-such-gnuplot\" could not be started: No such file or directory. Install "
            "gnuplot 5 (Debian: "
            "gnuplot-nox) or name the program in SaveOptions::gnuplot; figures saved as .svg need no other program.");
  const std::string path = std::getenv("PATH");
  setenv("PATH", "/nonexistent", 1);
  EXPECT_THROW(simple().save(temporary("x.png")), IoError);
  EXPECT_NO_THROW(simple().save(temporary("x.svg")));
  setenv("PATH", path.c_str(), 1);
  EXPECT_FALSE(std::filesystem::exists(temporary("x.png")));
  std::filesystem::remove(temporary("x.svg"));
}

TEST(FigureSave, SaysWhyGnuplotFailed) {
  const std::string message = message_of<IoError>([&] { simple().save(temporary("x.png"), {.gnuplot = "false"}); });
  EXPECT_EQ(message.substr(0, 65), "\"false\" was to draw a figure and ended with code 1 and 0 bytes. I");
}

}  // namespace
}  // namespace bayesflow

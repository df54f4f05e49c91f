#include "bayesflow/figures/figure.hpp"

#include <fmt/format.h>

#include "bayesflow/core/errors.hpp"
#include "figures/scene.hpp"
#include "io/atomic_file.hpp"

namespace bayesflow {

std::string Figure::svg() const { return figures::render_svg(figures::layout(*this), *this); }

void Figure::save(const std::filesystem::path& path, const figures::SaveOptions& options) const {
  using figures::FileKind, figures::Renderer;
  const std::string extension = path.extension().string();
  const bool is_svg = extension == ".svg";
  if (!is_svg && extension != ".png" && extension != ".pdf")
    throw ArgumentError(
        fmt::format("\"{}\": the extension \"{}\" names no kind of figure; use .png, .svg or .pdf", path.string(), extension));
  if (options.renderer == Renderer::builtin && !is_svg)
    throw ArgumentError(
        fmt::format("\"{}\": the built-in renderer writes SVG only; use the extension .svg, or Renderer::gnuplot", path.string()));
  std::string content;
  if (is_svg && options.renderer != Renderer::gnuplot)
    content = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" + svg();
  else
    content = figures::render_gnuplot(figures::layout(*this),
                                      is_svg                ? FileKind::svg
                                      : extension == ".png" ? FileKind::png
                                                            : FileKind::pdf,
                                      options);
  io::write_file(path, content);
}

std::vector<Figure> Figure::split() const {
  std::vector<Figure> out;
  for (const figures::Panel& panel : panels) {
    Figure one;
    one.panel_width = panel_width;
    one.panel_height = panel_height;
    one.panels = {panel};
    one.panels[0].row = one.panels[0].column = 0;
    out.push_back(std::move(one));
  }
  return out;
}

}  // namespace bayesflow

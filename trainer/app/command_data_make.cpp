#include "data/glyphs.h"
#include "data/shapes.h"
#include "launch/base/text.h"
#include "trainer/app/data_commands.h"

namespace atelier::app {
namespace {

std::string told(std::uint64_t train, std::uint64_t test, const std::string& out) {
  return text("Made ", human_count(static_cast<std::int64_t>(train)), " training and ",
              human_count(static_cast<std::int64_t>(test)), " test images in '", out, "'.");
}

void add_shapes(CLI::App& make, Action& chosen) {
  struct Options {
    std::string out;
    data::ShapesOptions shapes;
  };
  auto options = std::make_shared<Options>();
  CLI::App* shapes =
      make.add_subcommand("shapes", "Six classes of coloured, rotated, anti-aliased shapes");
  shapes->add_option("--out", options->out, "dataset folder to create")->required();
  shapes->add_option("--train", options->shapes.train, "training images; 5 % of them become valid")
      ->capture_default_str();
  shapes->add_option("--test", options->shapes.test, "test images")->capture_default_str();
  shapes->add_option("--height", options->shapes.height, "pixels")->capture_default_str();
  shapes->add_option("--width", options->shapes.width, "pixels")->capture_default_str();
  shapes->add_option("--channels", options->shapes.channels, "1 or 3")
      ->check(CLI::IsMember({1, 3}))
      ->capture_default_str();
  shapes->add_option("--seed", options->shapes.seed, "image i depends on seed and i alone")
      ->capture_default_str();
  shapes->callback([options, &chosen] {
    chosen = [options](Context& context) {
      options->shapes.out = options->out;
      data::make_shapes(context.files, context.clock, options->shapes);
      context.log.info(told(options->shapes.train, options->shapes.test, options->out));
      return ExitCode::kDone;
    };
  });
}

void add_glyphs(CLI::App& make, Action& chosen) {
  struct Options {
    std::string out;
    data::GlyphsOptions glyphs;
    bool deflate = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* glyphs = make.add_subcommand(
      "glyphs", "Ten digits written by many hands; --stacked: three in colour, a thousand classes");
  glyphs->add_option("--out", options->out, "dataset folder to create")->required();
  glyphs->add_option("--train", options->glyphs.train, "training images; 5 % of them become valid")
      ->capture_default_str();
  glyphs->add_option("--test", options->glyphs.test, "test images")->capture_default_str();
  glyphs->add_option("--side", options->glyphs.side, "pixels")->capture_default_str();
  glyphs->add_flag("--stacked", options->glyphs.stacked, "one digit in each colour channel");
  glyphs->add_flag("--deflate", options->deflate, "store them deflated");
  glyphs->add_option("--seed", options->glyphs.seed, "image i depends on seed and i alone")
      ->capture_default_str();
  glyphs->callback([options, &chosen] {
    chosen = [options](Context& context) {
      options->glyphs.out = options->out;
      if (options->deflate) options->glyphs.storage = data::Storage::kDeflate;
      data::make_glyphs(context.files, context.clock, options->glyphs);
      context.log.info(told(options->glyphs.train, options->glyphs.test, options->out));
      return ExitCode::kDone;
    };
  });
}

}  // namespace

void add_data_make(CLI::App& group, Action& chosen) {
  CLI::App* make = group.add_subcommand("make", "Render a dataset whose classes are known");
  make->require_subcommand(1);
  add_shapes(*make, chosen);
  add_glyphs(*make, chosen);
}

}  // namespace atelier::app

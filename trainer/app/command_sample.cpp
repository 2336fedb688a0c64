#include <cmath>

#include <torch/torch.h>

#include "launch/base/text.h"
#include "trainer/app/commands.h"
#include "trainer/apply/sample.h"
#include "trainer/quality/grid.h"

namespace atelier::app {
namespace {

struct Options {
  std::string run;
  std::string out = "samples.png";
  std::int64_t count = 64;
  std::uint64_t seed = 0;
};

ExitCode run(const Options& options, Context& context) {
  apply::Model model = apply::load_model(context.files, context.log, options.run);
  const at::Tensor images = apply::sample(model, options.count, options.seed);
  const auto side =
      static_cast<std::int64_t>(std::ceil(std::sqrt(static_cast<double>(options.count))));
  quality::write_picture(
      context.files, options.out,
      quality::grid(images, {.columns = std::max<std::int64_t>(1, side),
                             .scale = quality::visible_scale(model.geometry.width)}));
  context.log.info(
      text(options.count, " samples of '", model.checkpoint.string(), "' in '", options.out, "'."));
  return ExitCode::kDone;
}

}  // namespace

void add_sample(CLI::App& app, Action& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* sample = app.add_subcommand("sample", "Draw new images from a trained VAE or GAN");
  sample->add_option("run", options->run, "run folder or checkpoint folder")->required();
  sample->add_option("--count", options->count, "number of images")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  sample->add_option("--seed", options->seed, "image i depends on the model, seed and i alone")
      ->capture_default_str();
  sample->add_option("--out", options->out, "PNG to write")->capture_default_str();
  sample->callback([options, &chosen] {
    chosen = [options](Context& context) { return run(*options, context); };
  });
}

}  // namespace atelier::app

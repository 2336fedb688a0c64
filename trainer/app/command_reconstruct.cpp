#include <nlohmann/json.hpp>
#include <torch/torch.h>

#include "launch/base/text.h"
#include "trainer/app/commands.h"
#include "trainer/apply/reconstruct.h"
#include "trainer/quality/grid.h"

namespace atelier::app {
namespace {

struct Options {
  std::string run;
  std::string data;
  std::string out;
  std::string split;
  std::int64_t shown = 32;
  bool pca = false;
  bool json = false;
};

// The split asked for; without one test, or valid where there are no test images.
data::Split chosen_split(const Options& options, const data::Dataset& dataset) {
  if (options.split.empty()) {
    return dataset.size(data::Split::kTest) > 0 ? data::Split::kTest : data::Split::kValid;
  }
  if (const auto split = data::split_from_name(options.split)) return *split;
  throw ConfigError(text("'", options.split, "' is no split."), "Choose train, valid or test.");
}

ExitCode run(const Options& options, Context& context) {
  apply::Model model = apply::load_model(context.files, context.log, options.run);
  const data::Dataset dataset = data::Dataset::open(context.files, options.data);
  const data::Split split = chosen_split(options, dataset);
  const apply::ReconstructionResult result = apply::reconstruct(
      model, dataset, {.split = split, .shown = options.shown, .pca = options.pca});
  if (!options.out.empty()) {
    quality::write_picture(
        context.files, options.out,
        quality::pairs_grid(result.originals_NCHW, result.reconstructions_NCHW,
                            {.scale = quality::visible_scale(model.geometry.width)}));
  }
  nlohmann::ordered_json json{{"checkpoint", model.checkpoint.string()},
                              {"split", data::split_name(split)},
                              {"images", result.images},
                              {"latent_dims", model.objective->latent_dims()},
                              {"psnr_db", result.psnr_db},
                              {"mean_image_psnr_db", result.mean_image_psnr_db}};
  if (result.pca_psnr_db) json["pca_psnr_db"] = *result.pca_psnr_db;
  if (options.json) {
    print(json.dump(2) + "\n");
    return ExitCode::kDone;
  }
  print(text(human_count(result.images), " images of split ", data::split_name(split), ": PSNR ",
             fixed(result.psnr_db, 2), " dB; the mean image gives ",
             fixed(result.mean_image_psnr_db, 2), " dB",
             result.pca_psnr_db ? text(", PCA with ", model.objective->latent_dims(),
                                       " dimensions ", fixed(*result.pca_psnr_db, 2), " dB")
                                : "",
             ".\n"));
  return ExitCode::kDone;
}

}  // namespace

void add_reconstruct(CLI::App& app, Action& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* reconstruct =
      app.add_subcommand("reconstruct", "Give images back through a trained AE or VAE, with PSNR");
  reconstruct->add_option("run", options->run, "run folder or checkpoint folder")->required();
  reconstruct->add_option("--data", options->data, "dataset folder")->required();
  reconstruct->add_option("--split", options->split,
                          "train, valid or test (default: test, or valid where there is none)");
  reconstruct->add_option("--out", options->out, "PNG of images over their reconstructions");
  reconstruct->add_option("--count", options->shown, "images in the PNG")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
  reconstruct->add_flag("--pca", options->pca,
                        "also measure principal components with as many dimensions");
  reconstruct->add_flag("--json", options->json, "print one JSON document");
  reconstruct->callback([options, &chosen] {
    chosen = [options](Context& context) { return run(*options, context); };
  });
}

}  // namespace atelier::app

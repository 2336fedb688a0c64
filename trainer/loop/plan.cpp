#include <algorithm>
#include <cmath>

#include "data/dataset.h"
#include "launch/base/text.h"
#include "trainer/loop/checks.h"
#include "trainer/loop/feed.h"
#include "trainer/loop/run_folder.h"
#include "trainer/loop/training.h"
#include "trainer/objectives/registry.h"
#include "trainer/quality/samples.h"

namespace atelier::loop {
namespace {

// Weights, gradients and two moments; an averaged net has its average too.
constexpr std::int64_t kTensorsPerNet = 4;

// Per rank: its share of the training images and all held-out ones as bytes; the samples as floats
// up to four times over (as made, gathered, flat, centred).
std::uint64_t evaluation_bytes(const RunConfig& config, const data::Dataset& dataset, int world) {
  const data::ImageShape& shape = dataset.shape();
  const auto values = static_cast<std::uint64_t>(shape.height * shape.width * shape.channels);
  const std::uint64_t train = std::min<std::uint64_t>(dataset.size(data::Split::kTrain),
                                                      quality::RealReference::kTrainImages);
  const std::uint64_t samples =
      std::min<std::uint64_t>(dataset.size(data::Split::kValid),
                              static_cast<std::uint64_t>(config.schedule.quality_samples));
  return values * (train / static_cast<std::uint64_t>(world) + samples + 4 * 4 * samples);
}

}  // namespace

std::string plan(const TrainRequest& request, FileSystem& files, int world) {
  check_run_folder(files, RunPaths{request.run}, request.resume, request.command);
  const data::Dataset dataset = data::Dataset::open(files, request.data);
  require_trainable(request.config, dataset, world);
  const data::ImageShape& shape = dataset.shape();
  const RunConfig& config = request.config;
  const auto objective =
      objectives::make_objective(config.model, config.objective, geometry_of(dataset),
                                 static_cast<std::uint64_t>(config.train.seed));
  const std::uint64_t width = config.train.precision == engine::Precision::kFloat64 ? 8 : 4;
  std::uint64_t state_bytes = 0;
  std::uint64_t checkpoint_bytes = 0;
  std::string nets;
  for (const objectives::NamedNet& named : objective->nets()) {
    const std::int64_t parameters = networks::parameter_count(*named.net);
    const std::int64_t tensors = kTensorsPerNet + (named.averaged ? 1 : 0);
    state_bytes += static_cast<std::uint64_t>(parameters * tensors) * width;
    checkpoint_bytes += static_cast<std::uint64_t>(parameters * (tensors - 1)) * width;
    nets += text("  net ", named.name, ": ", human_count(parameters), " parameters",
                 named.averaged ? ", with a weight average" : "", "\n");
  }
  const auto train = static_cast<double>(dataset.size(data::Split::kTrain));
  const auto images = static_cast<double>(config.train.steps * config.train.batch);
  return text("Would train ", objective->family(), " on '", request.data.string(), "' (",
              human_count(static_cast<std::int64_t>(train)), " training images of ", shape.name(),
              ")\n", nets, "  steps: ", human_count(config.train.steps), " of ", config.train.batch,
              " images, ", fixed(images / train, 1), " epochs\n",
              "  memory for weights, gradients, moments and averages: ", human_bytes(state_bytes),
              " per rank, activations on top\n", "  memory for evaluations: about ",
              human_bytes(evaluation_bytes(config, dataset, world)), " per rank\n",
              "  run folder: '", request.run.string(),
              "': config.toml, stats.jsonl, events for TensorBoard, a picture every ",
              config.schedule.picture_steps, " steps, outcome.json\n", "  checkpoints: every ",
              config.schedule.checkpoint_steps, " steps, the newest ",
              config.schedule.checkpoint_keep, " kept, ", human_bytes(checkpoint_bytes), " each\n");
}

}  // namespace atelier::loop

#include "tests/unit/engine/trajectory.h"

#include <algorithm>
#include <cmath>

#include "launch/base/text.h"
#include "trainer/engine/images.h"

namespace atelier::tests {
namespace {

constexpr std::uint64_t kSeed = 7;
constexpr std::int64_t kImages = 40;
const networks::Geometry kGeometry{3, 16, 16};

// Bytes of the image in a slot, a function of the global position alone. Rows of a picture have
// something in common, so that there is something to learn.
std::vector<std::uint8_t> image_bytes(int stream, std::int64_t step, std::int64_t slot) {
  const std::uint64_t position =
      (static_cast<std::uint64_t>(step) * 64 + static_cast<std::uint64_t>(slot)) * 2 +
      static_cast<std::uint64_t>(stream);
  const std::uint64_t image = mix64(position) % kImages;
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(kGeometry.values()));
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const std::uint64_t coarse = mix64(image * 1000 + i / 48);
    bytes[i] = static_cast<std::uint8_t>((coarse & 127U) + (mix64((image << 32U) | i) & 127U));
  }
  return bytes;
}

objectives::ObjectiveConfig objective_config(const Recipe& recipe) {
  return {.l1_weight = 0.1,
          .kl_weight = 1,
          .gan_loss = recipe.gan_loss,
          .gamma = 0.5,
          .penalty_interval = 4};
}

engine::OptimizerConfig optimizer_config(const Recipe& recipe) {
  engine::OptimizerConfig config;
  config.learning_rate = recipe.learning_rate;
  config.beta1 = recipe.family == objectives::Family::kGan ? 0.0 : 0.9;
  config.warmup_images = 100;
  config.ema_half_life_images = 500;
  config.bucket_bytes = 16384;
  config.overlap = recipe.overlap;
  config.clip_norm = recipe.clip_norm;
  config.kind = recipe.optimizer;
  return config;
}

}  // namespace

std::string name_of(objectives::Family family) {
  return family == objectives::Family::kAutoencoder ? "AE"
         : family == objectives::Family::kVae       ? "VAE"
                                                    : "GAN";
}

Trainee::Trainee(const Recipe& recipe, comm::Comm& comm)
    : recipe_(recipe),
      comm_(&comm),
      objective_(objectives::make_objective(
          {.family = recipe.family, .width = 8, .latent = 8, .style = recipe.style},
          objective_config(recipe), kGeometry, kSeed)),
      engine_(*objective_, comm, optimizer_config(recipe), recipe.precision, recipe.statistics) {
  at::set_num_threads(1);  // ranks share the cores
}

std::unique_ptr<Trainee::Batch> Trainee::batch(std::int64_t step) const {
  const std::int64_t begin = recipe_.batch * comm_->rank() / comm_->world();
  const std::int64_t end = recipe_.batch * (comm_->rank() + 1) / comm_->world();
  auto batch = std::make_unique<Batch>();
  for (std::int64_t micro = 0; micro < recipe_.accumulation; ++micro) {
    const std::int64_t first = micro * recipe_.batch + begin;
    auto& streams = batch->images_NCHW.emplace_back();
    for (const int stream : {0, 1}) {
      std::vector<std::uint8_t> bytes;
      for (std::int64_t slot = first; slot < first + end - begin; ++slot) {
        const auto image = image_bytes(stream, step, slot);
        bytes.insert(bytes.end(), image.begin(), image.end());
      }
      streams.push_back(engine::to_images(bytes, kGeometry, engine_.type()).to(engine_.device()));
    }
    batch->micro_batches.push_back({.position = {.seed = kSeed,
                                                 .step = step,
                                                 .first_slot = first,
                                                 .local_batch = end - begin,
                                                 .global_batch = recipe_.batch}});
  }
  for (std::size_t i = 0; i < batch->micro_batches.size(); ++i) {
    batch->micro_batches[i].images_NCHW = batch->images_NCHW[i];
  }
  const std::int64_t images = recipe_.batch * recipe_.accumulation;
  batch->input.micro_batches = batch->micro_batches;
  batch->input.images_before = static_cast<double>(step * images);
  batch->input.images_total = static_cast<double>(recipe_.total_steps * images);
  return batch;
}

engine::StepReport Trainee::step(std::int64_t step) {
  return this->step(step, [](engine::Stage) {});
}

engine::StepReport Trainee::step(std::int64_t step, const engine::StageListener& listener) {
  engine::StepReport report = engine_.step(batch(step)->input, listener);
  auto late = engine_.settle();
  if (!late) return report;
  late->flags = report.flags;
  late->reduced_bytes = report.reduced_bytes;
  return std::move(*late);
}

std::string Trainee::bytes() {
  std::string all;
  for (const auto& net : engine_.nets()) {
    for (const auto& state : {net->weight_state(), net->average_state(), net->optimizer_state()}) {
      for (const engine::StateTensor& tensor : state) {
        const at::Tensor value = tensor.value.cpu().contiguous();
        all.append(static_cast<const char*>(value.data_ptr()), value.nbytes());
      }
    }
  }
  return all;
}

std::vector<engine::LossValue> record(Trainee& trainee, std::int64_t steps) {
  std::vector<engine::LossValue> all;
  for (std::int64_t step = 0; step < steps; ++step) {
    const engine::StepReport report = trainee.step(step);
    all.insert(all.end(), report.losses.begin(), report.losses.end());
  }
  return all;
}

std::string first_difference(const std::vector<engine::LossValue>& found,
                             const std::vector<engine::LossValue>& expected, double tolerance) {
  if (found.size() != expected.size()) return text(found.size(), " for ", expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    const double size = std::max(1.0, std::abs(expected[i].value));
    const bool close = std::abs(found[i].value - expected[i].value) <= tolerance * size;
    if (close && found[i].term == expected[i].term && found[i].net == expected[i].net &&
        found[i].present == expected[i].present) {
      continue;
    }
    return text("value ", i, ", ", found[i].net, " ", found[i].term, ": ", found[i].value, " for ",
                expected[i].net, " ", expected[i].term, " ", expected[i].value);
  }
  return "";
}

}  // namespace atelier::tests

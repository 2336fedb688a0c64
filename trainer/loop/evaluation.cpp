#include "trainer/loop/evaluation.h"

#include <algorithm>
#include <array>
#include <set>

#include "data/reader.h"
#include "launch/base/error.h"
#include "launch/base/text.h"
#include "trainer/engine/images.h"
#include "trainer/quality/grid.h"
#include "trainer/quality/indicators.h"
#include "trainer/quality/pixels.h"
#include "trainer/quality/reconstruction.h"
#include "trainer/quality/sharing.h"

namespace atelier::loop {
namespace {

using monitoring::Indicator;

constexpr std::int64_t kPassImages = 256;  // decoded or encoded at once
constexpr std::int64_t kPictureSamples = 64;
constexpr std::int64_t kPicturePairs = 32;

// Applies `pass` to parts of [0, count) and joins the results.
template <typename Pass>
at::Tensor in_passes(std::int64_t count, Pass pass) {
  std::vector<at::Tensor> parts;
  for (std::int64_t first = 0; first < count; first += kPassImages) {
    parts.push_back(pass(first, std::min(kPassImages, count - first)));
  }
  return torch::cat(parts);
}

}  // namespace

at::Tensor read_spread(const data::Dataset& dataset, data::Split split, std::int64_t count,
                       int rank, int world, const RealImages& real) {
  const auto total = static_cast<std::int64_t>(dataset.size(split));
  const at::Tensor positions = quality::spread_positions(total, count);
  const auto rows = quality::rows_of_rank(positions.numel(), rank, world);
  const auto* first = positions.data_ptr<std::int64_t>() + rows.begin;
  std::vector<std::uint64_t> indices(first, first + (rows.size()));
  const data::ImageShape& shape = dataset.shape();
  at::Tensor images =
      torch::empty({rows.size(), shape.height, shape.width, shape.channels}, torch::kByte);
  data::Reader reader(dataset, split, data::loader_options(real.loading).reading);
  if (real.loading.on_damage != data::OnDamage::kFail) {
    std::set<std::string> told;
    for (std::uint64_t& index : indices) {
      const auto damage = reader.damage_of(index);
      if (!damage) continue;
      if (told.insert(*damage).second && real.tell) real.tell(*damage);
      index = reader.good_from(index);
    }
  }
  reader.read(indices, {images.data_ptr<std::uint8_t>(), images.nbytes()});
  return images;
}

Evaluation::Evaluation(engine::Engine& engine, comm::Comm& comm, const data::Dataset& dataset,
                       const EvaluationOptions& options)
    : engine_(&engine),
      comm_(&comm),
      options_(options),
      held_out_(read_spread(dataset, data::Split::kValid, options.samples, 0, 1, options.real)) {
  const at::Tensor train =
      read_spread(dataset, data::Split::kTrain, quality::RealReference::kTrainImages, comm.rank(),
                  comm.world(), options.real);
  reference_.emplace(train, held_out_, comm);
}

at::Tensor Evaluation::images(std::int64_t first, std::int64_t count) const {
  const at::Tensor bytes = held_out_.narrow(0, first, count);
  return engine::to_images(bytes, {}, engine_->type());
}

at::Tensor Evaluation::decode(Stream stream, std::int64_t first, std::int64_t count) {
  objectives::Objective& model = engine_->objective();
  return in_passes(count, [&](std::int64_t begin, std::int64_t n) {
    const objectives::Position slots{
        .seed = options_.seed, .first_slot = first + begin, .local_batch = n};
    const at::Tensor z = objectives::normal(slots, stream, model.latent_dims(), engine_->type());
    return model.decode(z.to(engine_->device())).to(torch::kCPU);
  });
}

std::vector<IndicatorValue> Evaluation::measure() {
  const torch::NoGradGuard no_grad;
  const engine::AverageScope averages(engine_->nets());
  std::vector<IndicatorValue> values;
  if (engine_->objective().samples()) measure_samples(values);
  measure_reconstruction(values);
  return values;
}

void Evaluation::measure_samples(std::vector<IndicatorValue>& values) {
  const std::int64_t count = reference_->samples();
  const auto rows = quality::rows_of_rank(count, comm_->rank(), comm_->world());
  const at::Tensor part = rows.size() > 0
                              ? decode(Stream::kEvaluation, rows.begin, rows.size())
                              : torch::empty({0, options_.geometry.channels,
                                              options_.geometry.height, options_.geometry.width},
                                             engine_->type());
  const at::Tensor fakes = quality::gather_rows(part.contiguous(), count, *comm_);
  const quality::SampleIndicators sample = quality::measure_samples(*reference_, fakes, *comm_);
  const quality::SampleDistances& real = reference_->held_out();
  values.push_back({Indicator::kSampleDiversity, sample.pairwise_ratio, "", real.pairwise});
  values.push_back(
      {Indicator::kNearestFakeToReal, sample.nn_fake_to_real_ratio, "", real.nn_to_train});
  values.push_back(
      {Indicator::kNearestRealToFake, sample.nn_real_to_fake_ratio, "", real.nn_from_train});
  values.push_back({Indicator::kFeatureStdPixels, sample.feature_std_ratio, "", real.feature_std});
  measure_discriminator(fakes, values);
}

void Evaluation::measure_discriminator(const at::Tensor& fakes,
                                       std::vector<IndicatorValue>& values) {
  const std::int64_t count = std::min(fakes.size(0), held_out_.size(0));
  std::array<std::vector<at::Tensor>, 2> logits, features;
  for (std::int64_t first = 0; first < count; first += kPassImages) {
    const std::int64_t n = std::min(kPassImages, count - first);
    const std::array<at::Tensor, 2> batches{images(first, n), fakes.narrow(0, first, n)};
    for (std::size_t kind = 0; kind < 2; ++kind) {
      const auto critique = engine_->objective().criticise(batches.at(kind).to(engine_->device()));
      if (!critique) return;
      logits.at(kind).push_back(critique->logits_N.to(torch::kCPU));
      features.at(kind).push_back(critique->features_NF.to(torch::kCPU));
    }
  }
  const auto accuracy =
      quality::discriminator_accuracy(torch::cat(logits[0]), torch::cat(logits[1]));
  values.push_back({Indicator::kDiscriminatorAccuracyReal, accuracy.real, "", std::nullopt});
  values.push_back({Indicator::kDiscriminatorAccuracyFake, accuracy.fake, "", std::nullopt});
  const at::Tensor real = torch::cat(features[0]);
  values.push_back({Indicator::kFeatureStdDiscriminator,
                    quality::feature_std_ratio(torch::cat(features[1]), real), "",
                    quality::mean_feature_std(real)});
}

void Evaluation::measure_reconstruction(std::vector<IndicatorValue>& values) {
  objectives::Objective& model = engine_->objective();
  if (model.code() == objectives::Code::kNone) return;
  const bool gaussian = model.code() == objectives::Code::kGaussian;
  quality::Reconstruction reconstruction;
  quality::LatentStatistics latents(model.latent_dims());
  const auto rows = quality::rows_of_rank(held_out_.size(0), comm_->rank(), comm_->world());
  for (std::int64_t first = rows.begin; first < rows.end; first += kPassImages) {
    const at::Tensor x = images(first, std::min(kPassImages, rows.end - first));
    const objectives::Posterior code = *model.encode(x.to(engine_->device()));
    reconstruction.add(x, model.decode(code.mu_NZ).to(torch::kCPU));
    if (gaussian) latents.add(code.mu_NZ.to(torch::kCPU), code.logvar_NZ.to(torch::kCPU));
  }
  reconstruction.reduce(*comm_);
  const std::string& net = model.nets().front().name;
  values.push_back(
      {Indicator::kReconstructionError, reconstruction.mean_squared_error(), net, std::nullopt});
  values.push_back({Indicator::kPsnrModel, reconstruction.psnr(), "", std::nullopt});
  values.push_back({Indicator::kPsnrMeanImage, reference_->mean_image_psnr(), "", std::nullopt});
  if (!gaussian) return;
  latents.reduce(*comm_);
  const quality::LatentIndicators code = latents.result();
  values.push_back({Indicator::kActiveUnits,
                    static_cast<double>(code.active) / static_cast<double>(code.dimensions), "",
                    std::nullopt});
  values.push_back({Indicator::kKlNats, code.kl, net, std::nullopt});
}

at::Tensor Evaluation::reals_picture() const {
  const std::int64_t count = std::min(kPictureSamples, held_out_.size(0));
  return quality::grid(held_out_.narrow(0, 0, count),
                       {.scale = quality::visible_scale(options_.geometry.width)});
}

std::optional<at::Tensor> Evaluation::samples_picture() {
  if (!engine_->objective().samples()) return std::nullopt;
  const torch::NoGradGuard no_grad;
  const engine::AverageScope averages(engine_->nets());
  return quality::grid(decode(Stream::kFixedLatents, 0, kPictureSamples),
                       {.scale = quality::visible_scale(options_.geometry.width)});
}

std::optional<at::Tensor> Evaluation::reconstructions_picture() {
  const torch::NoGradGuard no_grad;
  const engine::AverageScope averages(engine_->nets());
  const at::Tensor x = images(0, std::min(kPicturePairs, held_out_.size(0)));
  const auto code = engine_->objective().encode(x.to(engine_->device()));
  if (!code) return std::nullopt;
  return quality::pairs_grid(x, engine_->objective().decode(code->mu_NZ).to(torch::kCPU),
                             {.scale = quality::visible_scale(options_.geometry.width)});
}

std::map<std::string, double> named_values(const std::vector<IndicatorValue>& values) {
  std::map<std::string, double> named;
  for (const IndicatorValue& value : values) {
    named[std::string(monitoring::indicator_name(value.indicator))] = value.value;
  }
  return named;
}

}  // namespace atelier::loop

#include <map>

#include "trainer/networks/adversarial.h"
#include "trainer/objectives/families.h"

namespace atelier::objectives {
namespace {

// What both losses share: the nets, R1 and R2, and what a trained GAN can do.
class Gan : public Objective {
 public:
  Gan(const ModelConfig& model, const ObjectiveConfig& objective,
      const networks::Geometry& geometry, std::vector<Phase> phases)
      : gamma_(objective.gamma),
        interval_(objective.penalty_interval),
        latent_(model.latent),
        together_(model.style.normalization != networks::Normalization::kBatch),
        generator_(std::make_shared<networks::Generator>(geometry, model.width, model.latent,
                                                         model.style)),
        discriminator_(
            std::make_shared<networks::Discriminator>(geometry, model.width, model.style)),
        nets_{{.name = "G", .net = generator_, .averaged = true},
              {.name = "D", .net = discriminator_, .averaged = false}},
        phases_(std::move(phases)) {}

  [[nodiscard]] std::string_view family() const final { return "gan"; }
  [[nodiscard]] const std::vector<NamedNet>& nets() const final { return nets_; }
  [[nodiscard]] const std::vector<Phase>& phases() const final { return phases_; }
  [[nodiscard]] Losses losses(const Phase& phase, const PhaseInput& input) final {
    return phase.net == "D" ? discriminator_losses(input) : generator_losses(input);
  }

  [[nodiscard]] std::int64_t variant(std::int64_t step) const final {
    return penalised(step) ? 1 : 0;
  }

  [[nodiscard]] std::int64_t latent_dims() const final { return latent_; }
  [[nodiscard]] bool samples() const final { return true; }
  [[nodiscard]] at::Tensor decode(const at::Tensor& z_NZ) final {
    return generator_->forward(z_NZ);
  }
  [[nodiscard]] std::optional<Critique> criticise(const at::Tensor& x_NCHW) final {
    const at::Tensor features = discriminator_->features(x_NCHW);
    return Critique{.logits_N = discriminator_->logits(features), .features_NF = features};
  }

 protected:
  struct Logits {
    at::Tensor real_N, fake_N;
  };

  [[nodiscard]] virtual Losses generator_losses(const PhaseInput& input) = 0;
  /// Images to train D with.
  [[nodiscard]] virtual at::Tensor fakes_for_discriminator(const PhaseInput& input) = 0;
  /// This rank's share of D's loss.
  [[nodiscard]] virtual at::Tensor adversarial(const Logits& logits, double images) const = 0;

  [[nodiscard]] at::Tensor generate(const PhaseInput& input, Stream stream) {
    const at::Tensor z =
        input.noise(input.position, stream, latent_, input.images_NCHW.scalar_type());
    return generator_->forward(z).contiguous(at::MemoryFormat::ChannelsLast);
  }
  [[nodiscard]] at::Tensor judge(const at::Tensor& x_NCHW) {
    return accumulated(discriminator_->forward(x_NCHW));
  }

 private:
  [[nodiscard]] bool penalised(std::int64_t step) const {
    return gamma_ > 0 && step % interval_ == 0;
  }

  [[nodiscard]] Losses discriminator_losses(const PhaseInput& input) {
    const at::Tensor& real = input.images_NCHW;
    const at::Tensor fake = fakes_for_discriminator(input).to(real.scalar_type());
    const bool penalise = penalised(input.position.step);
    // One wide convolution is faster than two; but the statistics of a batch normalisation are
    // those of the real images, and then those of the fake ones.
    std::vector<at::Tensor> inputs{real, fake};
    if (together_) inputs = {torch::cat(inputs).contiguous(at::MemoryFormat::ChannelsLast)};
    std::vector<at::Tensor> outputs;
    for (at::Tensor& images : inputs) {
      images = images.detach().requires_grad_(penalise);
      outputs.push_back(judge(images));
    }
    const auto halves = together_ ? outputs[0].chunk(2) : outputs;
    const auto images = static_cast<double>(input.position.global_batch);
    const at::Tensor loss = adversarial({.real_N = halves[0], .fake_N = halves[1]}, images);
    Losses losses{.total = loss, .terms = {{"adversarial", loss.detach()}}};
    if (penalise) add_penalties(inputs, outputs, images, losses);
    return losses;
  }

  // R1 at the real images and R2 at the fake ones (Mescheder, Geiger, Nowozin 2018, eq. 9, 10).
  void add_penalties(const std::vector<at::Tensor>& inputs, const std::vector<at::Tensor>& outputs,
                     double images, Losses& losses) const {
    std::vector<at::Tensor> sums;
    for (const at::Tensor& logits : outputs) sums.push_back(logits.sum());
    std::vector<at::Tensor> norms;
    for (const at::Tensor& gradient : torch::autograd::grad(sums, inputs, {}, true, true)) {
      norms.push_back(accumulated(gradient).square().sum({1, 2, 3}));
    }
    if (together_) norms = norms[0].chunk(2);
    const at::Tensor r1 = norms[0].sum() / images;
    const at::Tensor r2 = norms[1].sum() / images;
    losses.total = losses.total + 0.5 * gamma_ * static_cast<double>(interval_) * (r1 + r2);
    losses.terms.push_back({"r1", r1.detach()});
    losses.terms.push_back({"r2", r2.detach()});
  }

  double gamma_;
  std::int64_t interval_;
  std::int64_t latent_;
  bool together_;  ///< real and fake images pass through D as one batch
  std::shared_ptr<networks::Generator> generator_;
  std::shared_ptr<networks::Discriminator> discriminator_;
  std::vector<NamedNet> nets_;
  std::vector<Phase> phases_;
};

class RelativisticGan final : public Gan {
 public:
  RelativisticGan(const ModelConfig& model, const ObjectiveConfig& objective,
                  const networks::Geometry& geometry)
      : Gan(model, objective, geometry,
            {{.net = "D", .image_stream = 0, .terms = {"adversarial", "r1", "r2"}},
             {.net = "G", .image_stream = 1, .terms = {"adversarial"}}}) {}

 private:
  [[nodiscard]] at::Tensor fakes_for_discriminator(const PhaseInput& input) override {
    const torch::NoGradGuard no_grad;
    return generate(input, Stream::kDiscriminatorLatents);
  }

  [[nodiscard]] at::Tensor adversarial(const Logits& logits, double images) const override {
    return torch::softplus(logits.fake_N - logits.real_N).sum() / images;
  }

  [[nodiscard]] Losses generator_losses(const PhaseInput& input) override {
    Logits logits;
    {
      const torch::NoGradGuard no_grad;
      logits.real_N = judge(input.images_NCHW);
    }
    logits.fake_N = judge(generate(input, Stream::kLatents));
    const at::Tensor loss = torch::softplus(logits.real_N - logits.fake_N).sum() /
                            static_cast<double>(input.position.global_batch);
    return {.total = loss, .terms = {{"adversarial", loss.detach()}}};
  }
};

// G's phase judges the images that D's phase trained with, so that G runs once a step.
class NonSaturatingGan final : public Gan {
 public:
  NonSaturatingGan(const ModelConfig& model, const ObjectiveConfig& objective,
                   const networks::Geometry& geometry)
      : Gan(model, objective, geometry,
            {{.net = "D", .image_stream = 0, .terms = {"adversarial", "r1", "r2"}, .graph_of = "G"},
             {.net = "G", .image_stream = 0, .terms = {"adversarial"}}}) {}

 private:
  [[nodiscard]] at::Tensor fakes_for_discriminator(const PhaseInput& input) override {
    return kept_[input.position.first_slot] = generate(input, Stream::kLatents);
  }

  [[nodiscard]] at::Tensor adversarial(const Logits& logits, double images) const override {
    return (torch::softplus(-logits.real_N).sum() + torch::softplus(logits.fake_N).sum()) / images;
  }

  [[nodiscard]] Losses generator_losses(const PhaseInput& input) override {
    at::Tensor fake = std::exchange(kept_[input.position.first_slot], {});
    if (!fake.defined()) fake = generate(input, Stream::kLatents);
    const at::Tensor loss =
        torch::softplus(-judge(fake)).sum() / static_cast<double>(input.position.global_batch);
    return {.total = loss, .terms = {{"adversarial", loss.detach()}}};
  }

  std::map<std::int64_t, at::Tensor> kept_;  ///< by micro-batch, from D's phase to G's
};

}  // namespace

std::unique_ptr<Objective> make_gan(const ModelConfig& model, const ObjectiveConfig& objective,
                                    const networks::Geometry& geometry) {
  if (objective.gan_loss == GanLoss::kNonSaturating) {
    return std::make_unique<NonSaturatingGan>(model, objective, geometry);
  }
  return std::make_unique<RelativisticGan>(model, objective, geometry);
}

}  // namespace atelier::objectives

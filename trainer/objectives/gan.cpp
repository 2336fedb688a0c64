#include "trainer/networks/adversarial.h"
#include "trainer/objectives/families.h"

namespace atelier::objectives {
namespace {

class GanObjective final : public Objective {
 public:
  GanObjective(const ModelConfig& model, const ObjectiveConfig& objective,
               const networks::Geometry& geometry)
      : gamma_(objective.gamma),
        interval_(objective.penalty_interval),
        latent_(model.latent),
        generator_(std::make_shared<networks::Generator>(geometry, model.width, model.latent)),
        discriminator_(std::make_shared<networks::Discriminator>(geometry, model.width)),
        nets_{{.name = "G", .net = generator_, .averaged = true},
              {.name = "D", .net = discriminator_, .averaged = false}},
        phases_{{.net = "D", .image_stream = 0, .terms = {"adversarial", "r1", "r2"}},
                {.net = "G", .image_stream = 1, .terms = {"adversarial"}}} {}

  [[nodiscard]] std::string_view family() const override { return "gan"; }
  [[nodiscard]] const std::vector<NamedNet>& nets() const override { return nets_; }
  [[nodiscard]] const std::vector<Phase>& phases() const override { return phases_; }

  [[nodiscard]] Losses losses(const Phase& phase, const PhaseInput& input) override {
    return phase.net == "D" ? discriminator_losses(input) : generator_losses(input);
  }

  [[nodiscard]] std::int64_t latent_dims() const override { return latent_; }
  [[nodiscard]] bool samples() const override { return true; }
  [[nodiscard]] at::Tensor decode(const at::Tensor& z_NZ) override {
    return generator_->forward(z_NZ);
  }
  [[nodiscard]] std::optional<Critique> criticise(const at::Tensor& x_NCHW) override {
    const at::Tensor features = discriminator_->features(x_NCHW);
    return Critique{.logits_N = discriminator_->logits(features), .features_NF = features};
  }

 private:
  [[nodiscard]] at::Tensor latents(const PhaseInput& input, Stream stream) const {
    return normal(input.position, stream, latent_, input.images_NCHW.scalar_type());
  }

  // Real and fake go through D as one batch: D has no batch statistics, and one wide convolution
  // is faster than two.
  [[nodiscard]] Losses discriminator_losses(const PhaseInput& input) {
    at::Tensor both;
    {
      const torch::NoGradGuard no_grad;
      const at::Tensor fake = generator_->forward(latents(input, Stream::kDiscriminatorLatents));
      both = torch::cat({input.images_NCHW, fake.to(input.images_NCHW.scalar_type())})
                 .contiguous(at::MemoryFormat::ChannelsLast);
    }
    const bool penalise = input.position.step % interval_ == 0;
    both.requires_grad_(penalise);
    const at::Tensor logits = accumulated(discriminator_->forward(both));
    const auto halves = logits.chunk(2);
    const auto images = static_cast<double>(input.position.global_batch);
    const at::Tensor adversarial = torch::softplus(halves[1] - halves[0]).sum() / images;
    Losses losses{.total = adversarial, .terms = {{"adversarial", adversarial.detach()}}};
    if (penalise) {
      const at::Tensor gradient = torch::autograd::grad({logits.sum()}, {both}, {}, true, true)[0];
      const auto norms = accumulated(gradient).square().sum({1, 2, 3}).chunk(2);
      const at::Tensor r1 = norms[0].sum() / images;
      const at::Tensor r2 = norms[1].sum() / images;
      losses.total = losses.total + 0.5 * gamma_ * static_cast<double>(interval_) * (r1 + r2);
      losses.terms.push_back({"r1", r1.detach()});
      losses.terms.push_back({"r2", r2.detach()});
    }
    return losses;
  }

  [[nodiscard]] Losses generator_losses(const PhaseInput& input) {
    at::Tensor real_logits;
    {
      const torch::NoGradGuard no_grad;
      real_logits = accumulated(discriminator_->forward(input.images_NCHW));
    }
    const at::Tensor fake = generator_->forward(latents(input, Stream::kLatents));
    const at::Tensor fake_logits = accumulated(discriminator_->forward(fake));
    const at::Tensor adversarial = torch::softplus(real_logits - fake_logits).sum() /
                                   static_cast<double>(input.position.global_batch);
    return {.total = adversarial, .terms = {{"adversarial", adversarial.detach()}}};
  }

  double gamma_;
  std::int64_t interval_;
  std::int64_t latent_;
  std::shared_ptr<networks::Generator> generator_;
  std::shared_ptr<networks::Discriminator> discriminator_;
  std::vector<NamedNet> nets_;
  std::vector<Phase> phases_;
};

}  // namespace

std::unique_ptr<Objective> make_gan(const ModelConfig& model, const ObjectiveConfig& objective,
                                    const networks::Geometry& geometry) {
  return std::make_unique<GanObjective>(model, objective, geometry);
}

}  // namespace atelier::objectives

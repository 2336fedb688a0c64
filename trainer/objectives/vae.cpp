#include <cmath>
#include <numbers>

#include "trainer/networks/autoencoder.h"
#include "trainer/objectives/families.h"

namespace atelier::objectives {
namespace {

// log sigma is clipped softly from below, so that a perfect decoder keeps a finite likelihood
// (Rybkin et al. 2021, §4: softclip at -6).
constexpr double kLogSigmaFloor = -6.0;
constexpr double kTiny = 1e-10;  // keeps the logarithm finite on images reproduced exactly

class Variational final : public networks::Net {
 public:
  Variational(const networks::Geometry& geometry, const ModelConfig& model)
      : encoder_(
            register_module("encoder", std::make_shared<networks::Encoder>(
                                           geometry, model.width, 2 * model.latent, model.style))),
        decoder_(
            register_module("decoder", std::make_shared<networks::Decoder>(
                                           geometry, model.width, model.latent, model.style))) {}

  /// Reconstruction from the mean code.
  [[nodiscard]] at::Tensor forward(const at::Tensor& x_NCHW) override {
    return decode(encode(x_NCHW).mu_NZ);
  }
  [[nodiscard]] Posterior encode(const at::Tensor& x_NCHW) {
    const auto halves = accumulated(encoder_->forward(x_NCHW)).chunk(2, 1);
    return {.mu_NZ = halves[0], .logvar_NZ = halves[1]};
  }
  [[nodiscard]] at::Tensor decode(const at::Tensor& z_NZ) { return decoder_->forward(z_NZ); }

 private:
  std::shared_ptr<networks::Encoder> encoder_;
  std::shared_ptr<networks::Decoder> decoder_;
};

class VaeObjective final : public Objective {
 public:
  VaeObjective(const ModelConfig& model, const ObjectiveConfig& objective,
               const networks::Geometry& geometry)
      : kl_weight_(objective.kl_weight),
        latent_(model.latent),
        values_per_image_(static_cast<double>(geometry.values())),
        net_(std::make_shared<Variational>(geometry, model)),
        nets_{{.name = "VAE", .net = net_, .averaged = true}},
        phases_{{.net = "VAE", .image_stream = 0, .terms = {"nll", "kl", "mse"}}} {}

  [[nodiscard]] std::string_view family() const override { return "vae"; }
  [[nodiscard]] const std::vector<NamedNet>& nets() const override { return nets_; }
  [[nodiscard]] const std::vector<Phase>& phases() const override { return phases_; }

  [[nodiscard]] Losses losses(const Phase& /*phase*/, const PhaseInput& input) override {
    const at::Tensor& x = input.images_NCHW;
    const auto [mu, logvar] = net_->encode(x);
    const at::Tensor noise =
        input.noise(input.position, Stream::kPosterior, latent_, mu.scalar_type());
    const at::Tensor z = mu + noise * (0.5 * logvar).exp();
    const auto images = static_cast<double>(input.position.global_batch);

    const at::Tensor squared = (accumulated(net_->decode(z)) - x).square().sum();
    const at::Tensor mse = input.batch.sum(squared) / (images * values_per_image_);
    const at::Tensor nll = input.batch.share(nll_per_image(mse));
    const at::Tensor kl = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum() / images;
    return {
        .total = nll + kl_weight_ * kl,
        .terms = {
            {"nll", nll.detach()}, {"kl", kl.detach()}, {"mse", input.batch.share(mse.detach())}}};
  }

  [[nodiscard]] std::int64_t latent_dims() const override { return latent_; }
  [[nodiscard]] bool samples() const override { return true; }
  [[nodiscard]] at::Tensor decode(const at::Tensor& z_NZ) override { return net_->decode(z_NZ); }
  [[nodiscard]] Code code() const override { return Code::kGaussian; }
  [[nodiscard]] std::optional<Posterior> encode(const at::Tensor& x_NCHW) override {
    return net_->encode(x_NCHW);
  }

 private:
  // -log N(x; x̂, sigma²) summed over the pixels of an image, averaged over the batch.
  [[nodiscard]] at::Tensor nll_per_image(const at::Tensor& mse) const {
    const at::Tensor log_sigma =
        kLogSigmaFloor + torch::softplus(0.5 * (mse + kTiny).log() - kLogSigmaFloor);
    return values_per_image_ *
           (0.5 * mse * (-2 * log_sigma).exp() + log_sigma + 0.5 * std::log(2 * std::numbers::pi));
  }

  double kl_weight_;
  std::int64_t latent_;
  double values_per_image_;
  std::shared_ptr<Variational> net_;
  std::vector<NamedNet> nets_;
  std::vector<Phase> phases_;
};

}  // namespace

std::unique_ptr<Objective> make_vae(const ModelConfig& model, const ObjectiveConfig& objective,
                                    const networks::Geometry& geometry) {
  return std::make_unique<VaeObjective>(model, objective, geometry);
}

}  // namespace atelier::objectives

#include "trainer/networks/autoencoder.h"

#include "trainer/objectives/families.h"

namespace atelier::objectives {
namespace {

class Autoencoder final : public networks::Net {
 public:
  Autoencoder(const networks::Geometry& geometry, const ModelConfig& model)
      : encoder_(register_module("encoder", std::make_shared<networks::Encoder>(
                                                geometry, model.width, model.latent, model.style))),
        decoder_(
            register_module("decoder", std::make_shared<networks::Decoder>(
                                           geometry, model.width, model.latent, model.style))) {}

  [[nodiscard]] at::Tensor forward(const at::Tensor& x_NCHW) override {
    return decode(encode(x_NCHW));
  }
  [[nodiscard]] at::Tensor encode(const at::Tensor& x_NCHW) { return encoder_->forward(x_NCHW); }
  [[nodiscard]] at::Tensor decode(const at::Tensor& z_NZ) { return decoder_->forward(z_NZ); }

 private:
  std::shared_ptr<networks::Encoder> encoder_;
  std::shared_ptr<networks::Decoder> decoder_;
};

class AutoencoderObjective final : public Objective {
 public:
  AutoencoderObjective(const ModelConfig& model, const ObjectiveConfig& objective,
                       const networks::Geometry& geometry)
      : l1_weight_(objective.l1_weight),
        latent_(model.latent),
        values_per_image_(geometry.values()),
        net_(std::make_shared<Autoencoder>(geometry, model)),
        nets_{{.name = "AE", .net = net_, .averaged = true}},
        phases_{{.net = "AE", .image_stream = 0, .terms = {"mse", "l1"}}} {}

  [[nodiscard]] std::string_view family() const override { return "ae"; }
  [[nodiscard]] const std::vector<NamedNet>& nets() const override { return nets_; }
  [[nodiscard]] const std::vector<Phase>& phases() const override { return phases_; }

  [[nodiscard]] Losses losses(const Phase& /*phase*/, const PhaseInput& input) override {
    const at::Tensor error = accumulated(net_->forward(input.images_NCHW)) - input.images_NCHW;
    const auto values = static_cast<double>(input.position.global_batch * values_per_image_);
    const at::Tensor mse = error.square().sum() / values;
    const at::Tensor l1 = error.abs().sum() / values;
    return {.total = (1 - l1_weight_) * mse + l1_weight_ * l1,
            .terms = {{"mse", mse.detach()}, {"l1", l1.detach()}}};
  }

  [[nodiscard]] std::int64_t latent_dims() const override { return latent_; }
  [[nodiscard]] bool samples() const override { return false; }
  [[nodiscard]] at::Tensor decode(const at::Tensor& z_NZ) override { return net_->decode(z_NZ); }
  [[nodiscard]] Code code() const override { return Code::kPoint; }
  [[nodiscard]] std::optional<Posterior> encode(const at::Tensor& x_NCHW) override {
    return Posterior{.mu_NZ = net_->encode(x_NCHW), .logvar_NZ = {}};
  }

 private:
  double l1_weight_;
  std::int64_t latent_;
  std::int64_t values_per_image_;
  std::shared_ptr<Autoencoder> net_;
  std::vector<NamedNet> nets_;
  std::vector<Phase> phases_;
};

}  // namespace

std::unique_ptr<Objective> make_autoencoder(const ModelConfig& model,
                                            const ObjectiveConfig& objective,
                                            const networks::Geometry& geometry) {
  return std::make_unique<AutoencoderObjective>(model, objective, geometry);
}

}  // namespace atelier::objectives

#include "trainer/app/presets.h"

namespace atelier::app {
namespace {

constexpr std::string_view kAe32 = R"(
[model]
family = "ae"
width = 32
latent = 128
[train]
steps = 8000
[objective]
l1_weight = 0.1
[optimizer]
learning_rate = 1e-3
beta1 = 0.9
beta2 = 0.99
decay = "linear"
decay_from = 0.5
)";

constexpr std::string_view kVae32 = R"(
[model]
family = "vae"
width = 32
latent = 128
[train]
steps = 8000
[optimizer]
learning_rate = 1e-3
beta1 = 0.9
beta2 = 0.99
decay = "linear"
decay_from = 0.5
)";

constexpr std::string_view kGan32 = R"(
[model]
family = "gan"
width = 32
latent = 64
[data]
flip = true
[train]
steps = 6000
[objective]
gamma = 2.0
penalty_interval = 4
[optimizer]
learning_rate = 1.5e-3
beta1 = 0.0
beta2 = 0.99
decay = "linear"
decay_from = 0.6
)";

constexpr std::string_view kAe64 = R"(
[model]
family = "ae"
width = 32
latent = 256
[train]
steps = 20000
[objective]
l1_weight = 0.1
[optimizer]
learning_rate = 1e-3
decay = "linear"
decay_from = 0.5
)";

constexpr std::string_view kVae64 = R"(
[model]
family = "vae"
width = 32
latent = 256
[train]
steps = 20000
[optimizer]
learning_rate = 1e-3
decay = "linear"
decay_from = 0.5
)";

constexpr std::string_view kGan64 = R"(
[model]
family = "gan"
width = 32
latent = 64
[data]
flip = true
[train]
steps = 40000
[objective]
gamma = 4.0
penalty_interval = 4
[optimizer]
learning_rate = 1e-3
beta1 = 0.0
beta2 = 0.99
decay = "linear"
decay_from = 0.6
)";

// Width 64, 100 latents, the loss and Adam's constants are those of PyTorch's DCGAN example.
constexpr std::string_view kDcgan64 = R"(
[model]
family = "gan"
architecture = "dcgan"
normalization = "batch"
width = 64
latent = 100
[train]
steps = 25000
batch = 128
[objective]
gan_loss = "non-saturating"
gamma = 0.0
[optimizer]
learning_rate = 2e-4
beta1 = 0.5
beta2 = 0.999
warmup_images = 0
decay = "constant"
)";

}  // namespace

const std::vector<Preset>& presets() {
  static const std::vector<Preset> all{
      {"ae-32", 32, "autoencoder for images of about 32 pixels, 128 latent dimensions", kAe32},
      {"vae-32", 32, "variational autoencoder, 128 latent dimensions", kVae32},
      {"gan-32", 32, "relativistic GAN with R1 and R2", kGan32},
      {"ae-64", 64, "autoencoder for images of about 64 pixels, 256 latent dimensions", kAe64},
      {"vae-64", 64, "variational autoencoder, 256 latent dimensions", kVae64},
      {"gan-64", 64, "relativistic GAN with R1 and R2, one level deeper", kGan64},
      {"dcgan-64", 64,
       "DCGAN with batch normalisation for images of 64 pixels, as PyTorch's example", kDcgan64},
  };
  return all;
}

const Preset* find_preset(std::string_view name) {
  for (const Preset& preset : presets()) {
    if (preset.name == name) return &preset;
  }
  return nullptr;
}

}  // namespace atelier::app

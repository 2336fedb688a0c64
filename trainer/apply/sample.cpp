#include "trainer/apply/sample.h"

#include <algorithm>

#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::apply {
namespace {

constexpr std::int64_t kPassImages = 256;

}  // namespace

at::Tensor sample(Model& model, std::int64_t count, std::uint64_t seed) {
  if (!model.objective->samples()) {
    throw RefusedError(text("'", model.checkpoint.string(), "' holds a model of family '",
                            model.objective->family(), "', which makes no new images."),
                       "Sample from a VAE or a GAN; an AE reconstructs.");
  }
  const torch::NoGradGuard no_grad;
  std::vector<at::Tensor> parts;
  for (std::int64_t first = 0; first < count; first += kPassImages) {
    const objectives::Position slots{
        .seed = seed, .first_slot = first, .local_batch = std::min(kPassImages, count - first)};
    parts.push_back(model.objective->decode(
        objectives::normal(slots, Stream::kSampling, model.objective->latent_dims(), model.type)));
  }
  return torch::cat(parts);
}

}  // namespace atelier::apply

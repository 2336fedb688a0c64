#include "trainer/apply/reconstruct.h"

#include <algorithm>

#include "launch/base/error.h"
#include "launch/base/text.h"
#include "trainer/engine/images.h"
#include "trainer/loop/evaluation.h"
#include "trainer/quality/reconstruction.h"

namespace atelier::apply {
namespace {

constexpr std::int64_t kPassImages = 256;

at::Tensor read_all(const data::Dataset& dataset, data::Split split) {
  return loop::read_spread(dataset, split, static_cast<std::int64_t>(dataset.size(split)), 0, 1);
}

}  // namespace

ReconstructionResult reconstruct(Model& model, const data::Dataset& dataset,
                                 const ReconstructionOptions& options) {
  require_fits(model, dataset);
  if (model.objective->code() == objectives::Code::kNone) {
    throw RefusedError(text("'", model.checkpoint.string(), "' holds a model of family '",
                            model.objective->family(), "', which cannot encode images."),
                       "Reconstruct with an AE or a VAE.");
  }
  if (dataset.size(options.split) == 0) {
    throw DataError(text("'", dataset.folder().string(), "' has no images in split '",
                         data::split_name(options.split), "'."),
                    "Choose another with --split.");
  }
  const torch::NoGradGuard no_grad;
  const at::Tensor bytes = read_all(dataset, options.split);
  quality::Reconstruction error;
  ReconstructionResult result;
  result.images = bytes.size(0);
  std::vector<at::Tensor> originals;
  std::vector<at::Tensor> reconstructions;
  for (std::int64_t first = 0; first < bytes.size(0); first += kPassImages) {
    const at::Tensor part = bytes.narrow(0, first, std::min(kPassImages, bytes.size(0) - first));
    const at::Tensor x = engine::to_images({part.data_ptr<std::uint8_t>(), part.nbytes()},
                                           model.geometry, model.type);
    const at::Tensor y = model.objective->decode(model.objective->encode(x)->mu_NZ);
    error.add(x, y);
    if (first < options.shown) {
      originals.push_back(x);
      reconstructions.push_back(y);
    }
  }
  const std::int64_t shown = std::min(options.shown, bytes.size(0));
  result.originals_NCHW = torch::cat(originals).narrow(0, 0, shown);
  result.reconstructions_NCHW = torch::cat(reconstructions).narrow(0, 0, shown);
  result.psnr_db = error.psnr();
  const at::Tensor train = read_all(dataset, data::Split::kTrain);
  result.mean_image_psnr_db = quality::mean_image_psnr(train, bytes);
  if (options.pca) {
    result.pca_psnr_db = quality::pca_psnr(train, bytes, model.objective->latent_dims());
  }
  return result;
}

}  // namespace atelier::apply

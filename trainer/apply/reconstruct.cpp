#include "trainer/apply/reconstruct.h"

#include <algorithm>
#include <numeric>

#include "data/reader.h"
#include "launch/base/error.h"
#include "launch/base/text.h"
#include "trainer/engine/images.h"
#include "trainer/loop/evaluation.h"
#include "trainer/quality/reconstruction.h"

namespace atelier::apply {
namespace {

constexpr std::uint64_t kPassImages = 256;

at::Tensor read_all(const data::Dataset& dataset, data::Split split) {
  return loop::read_spread(dataset, split, static_cast<std::int64_t>(dataset.size(split)), 0, 1);
}

// A split in order, some images at a time, so that any dataset fits into memory.
// Shapes: visit([n, H, W, C] uint8).
template <typename Visit>
void for_each_part(const data::Dataset& dataset, data::Split split, Visit visit) {
  data::Reader reader(dataset, split);
  const data::ImageShape& shape = dataset.shape();
  std::vector<std::uint64_t> indices;
  for (std::uint64_t first = 0; first < reader.size(); first += indices.size()) {
    indices.resize(std::min(kPassImages, reader.size() - first));
    std::iota(indices.begin(), indices.end(), first);
    at::Tensor part = torch::empty(
        {static_cast<std::int64_t>(indices.size()), shape.height, shape.width, shape.channels},
        torch::kByte);
    reader.read(indices, {part.data_ptr<std::uint8_t>(), part.nbytes()});
    visit(part);
  }
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
  quality::MeanImage mean;
  for_each_part(dataset, data::Split::kTrain, [&](const at::Tensor& part) { mean.add(part); });
  const at::Tensor mean_image = mean.value();
  quality::Reconstruction error;
  quality::Reconstruction error_of_mean;
  std::vector<at::Tensor> originals;
  std::vector<at::Tensor> reconstructions;
  for_each_part(dataset, options.split, [&](const at::Tensor& part) {
    const at::Tensor x = engine::to_images({part.data_ptr<std::uint8_t>(), part.nbytes()},
                                           model.geometry, model.type);
    const at::Tensor y = model.objective->decode(model.objective->encode(x)->mu_NZ);
    const std::int64_t before = error.images();
    error.add(x, y);
    error_of_mean.add_constant(part, mean_image);
    if (before >= options.shown) return;
    originals.push_back(x);
    reconstructions.push_back(y);
  });
  ReconstructionResult result;
  result.images = error.images();
  const std::int64_t shown = std::min(options.shown, result.images);
  result.originals_NCHW = torch::cat(originals).narrow(0, 0, shown);
  result.reconstructions_NCHW = torch::cat(reconstructions).narrow(0, 0, shown);
  result.psnr_db = error.psnr();
  result.mean_image_psnr_db = error_of_mean.psnr();
  if (options.pca) {
    result.pca_psnr_db =
        quality::pca_psnr(read_all(dataset, data::Split::kTrain), read_all(dataset, options.split),
                          model.objective->latent_dims());
  }
  return result;
}

}  // namespace atelier::apply

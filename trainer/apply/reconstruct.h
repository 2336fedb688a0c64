// How well a trained AE or VAE gives images back. A VAE reconstructs from its mean code.
// Thread safety: one thread.
#pragma once

#include <cstdint>
#include <optional>

#include <torch/torch.h>

#include "data/dataset.h"
#include "trainer/apply/model.h"

namespace atelier::apply {

struct ReconstructionOptions {
  data::Split split = data::Split::kTest;
  std::int64_t shown = 32;  ///< pairs kept for the picture
  bool pca = false;  ///< also measure as many principal components; holds all images in memory
};

struct ReconstructionResult {
  std::int64_t images = 0;
  double psnr_db = 0;             ///< pooled error over all images of the split, clipped
  double mean_image_psnr_db = 0;  ///< of the mean training image as the reconstruction
  std::optional<double> pca_psnr_db;
  at::Tensor originals_NCHW;
  at::Tensor reconstructions_NCHW;
};

/// Throws: RefusedError for a model without a code or images of another size, DataError, IoError.
[[nodiscard]] ReconstructionResult reconstruct(Model& model, const data::Dataset& dataset,
                                               const ReconstructionOptions& options);

}  // namespace atelier::apply

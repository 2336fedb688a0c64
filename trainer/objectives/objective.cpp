#include "trainer/objectives/objective.h"

#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::objectives {

at::Tensor normal(const Position& at, Stream stream, std::int64_t dims, at::ScalarType type) {
  at::Tensor noise = torch::empty({at.local_batch, dims}, torch::kFloat);
  auto* row = noise.data_ptr<float>();
  for (std::int64_t i = 0; i < at.local_batch; ++i, row += dims) {
    fill_normal({.seed = at.seed,
                 .stream = stream,
                 .major = static_cast<std::uint64_t>(at.step),
                 .minor = static_cast<std::uint64_t>(at.first_slot + i)},
                {row, static_cast<std::size_t>(dims)});
  }
  return noise.to(type);
}

at::Tensor Objective::decode(const at::Tensor& /*z_NZ*/) {
  throw RefusedError(text("A model of the family ", family(), " makes no images from latents."));
}

}  // namespace atelier::objectives

#include "trainer/networks/spectral_norm.h"

namespace atelier::networks {
namespace {

constexpr double kTiny = 1e-12;  // keeps a weight of zeros finite

at::Tensor unit(const at::Tensor& vector) { return vector / (vector.norm() + kTiny); }

// As a matrix of `rows` rows. The order of its columns does not change singular values, so that of
// memory is taken.
at::Tensor as_matrix(const at::Tensor& weight) {
  return weight.dim() == 4 ? weight.permute({0, 2, 3, 1}).flatten(1) : weight.flatten(1);
}

}  // namespace

SpectralNorm::SpectralNorm(std::int64_t rows)
    : u_(register_parameter("u", unit(torch::ones({rows})), false)) {}

at::Tensor SpectralNorm::forward(const at::Tensor& weight) {
  // Singular values are not for bfloat16.
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  const at::Tensor matrix = as_matrix(weight).to(u_.scalar_type());
  at::Tensor u = u_;
  at::Tensor v;
  {
    const torch::NoGradGuard no_grad;
    v = unit(matrix.t().mv(u));
    if (is_training()) {
      u = unit(matrix.mv(v));
      u_.copy_(u);
    } else {
      u = u_.clone();  // graphs keep it
    }
  }
  return weight / torch::dot(u, matrix.mv(v));
}

}  // namespace atelier::networks

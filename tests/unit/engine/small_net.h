// A small net with sizes that need padding, and what tests compare of nets.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "trainer/networks/adversarial.h"

namespace atelier::tests {

inline std::shared_ptr<networks::Discriminator> small_net() {
  at::set_num_threads(1);  // small tensors, shared cores
  auto net = std::make_shared<networks::Discriminator>(networks::Geometry{3, 16, 16}, 5);
  networks::initialize(*net, 1, 0);
  return net;
}

inline std::vector<at::Tensor> copies(networks::Net& net) {
  std::vector<at::Tensor> all;
  for (const at::Tensor& p : net.parameters()) all.push_back(p.detach().clone());
  return all;
}

inline std::string bytes_of(const at::Tensor& tensor) {
  return {static_cast<const char*>(tensor.data_ptr()), tensor.nbytes()};
}

}  // namespace atelier::tests

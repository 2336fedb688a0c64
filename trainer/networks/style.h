// How a net is built, apart from its sizes. No torch here. Thread safety: values.
#pragma once

#include <cstdint>

namespace atelier::networks {

enum class Normalization : std::uint8_t {
  kNone,
  kBatch,  ///< Ioffe and Szegedy 2015; over all ranks or one, as the engine is told
  kGroup,  ///< Wu and He 2018, up to 32 groups
};

enum class Architecture : std::uint8_t {
  kPlain,  ///< biases, linear output, initial weights by fan-in
  kDcgan,  ///< Radford, Metz, Chintala 2016: ReLU and tanh in G, no biases, weights N(0, 0.02)
};

enum class Activation : std::uint8_t { kSilu, kRelu, kLeakyRelu };

struct Style {
  Architecture architecture = Architecture::kPlain;
  /// Of every level but the one that touches the image.
  Normalization normalization = Normalization::kNone;
  bool spectral_norm = false;  ///< of a discriminator's weights
};

}  // namespace atelier::networks

// What a family of models trains. An Objective owns its nets, declares the phases of a step (which
// net is trained, on which stream of images, how often) and computes the named loss terms of a
// phase. The engine runs phases and knows nothing of AE, VAE or GAN. Shape legend: N images of this
// rank, C channels, H × W pixels, Z latent dimensions, F features.
// Thread safety: one thread, that of the communicator behind the BatchReducer.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <torch/torch.h>

#include "launch/base/random.h"
#include "trainer/networks/net.h"
#include "trainer/parallel/batch_reducer.h"

namespace atelier::objectives {

/// Which slots of the global batch this rank holds, at which step of which run.
struct Position {
  std::uint64_t seed = 0;
  std::int64_t step = 0;
  std::int64_t first_slot = 0;
  std::int64_t local_batch = 0;
  std::int64_t global_batch = 0;  ///< images over all ranks that pass through the nets at once
  [[nodiscard]] bool operator==(const Position&) const = default;
};

/// Standard normals for the slots of `at`, a function of (seed, stream, step, slot) alone.
/// Shapes: → [N, dims], of `type`.
[[nodiscard]] at::Tensor normal(const Position& at, Stream stream, std::int64_t dims,
                                at::ScalarType type);

/// `value` in the type that losses are summed in: float32 at least, whatever the nets run in.
[[nodiscard]] inline at::Tensor accumulated(const at::Tensor& value) {
  return value.scalar_type() == at::kBFloat16 ? value.to(at::kFloat) : value;
}

/// What normal() does, or something that gives the same numbers elsewhere: on a device, or for a
/// step that was recorded.
using Noise = std::function<at::Tensor(const Position&, Stream, std::int64_t dims, at::ScalarType)>;

struct Phase {
  std::string net;                 ///< the net that is trained
  int image_stream = 0;            ///< which independent stream of real images feeds it
  std::vector<std::string> terms;  ///< the loss terms it can report
  /// Another net whose outputs keep their graph, for a later phase of the step; may be empty.
  std::string graph_of = {};
};

struct LossTerm {
  std::string_view name;
  at::Tensor value;  ///< this rank's share, detached: the sum over ranks is the term
};

struct Losses {
  at::Tensor total;  ///< this rank's share of what is minimised; scalar with a graph
  std::vector<LossTerm> terms;
};

struct PhaseInput {
  at::Tensor images_NCHW;  ///< real images in [-1, 1]
  Position position;
  const parallel::BatchReducer& batch;
  Noise noise = objectives::normal;  ///< the only source of random numbers
};

struct NamedNet {
  std::string name;
  std::shared_ptr<networks::Net> net;
  bool averaged = false;  ///< an exponential moving average is what the model is used with
};

/// What encode() gives.
enum class Code : std::uint8_t {
  kNone,      ///< the model does not encode
  kPoint,     ///< mu alone
  kGaussian,  ///< mu and logvar
};

/// Code of an image. `logvar_NZ` is undefined when codes are points.
struct Posterior {
  at::Tensor mu_NZ;
  at::Tensor logvar_NZ;
};

struct Critique {
  at::Tensor logits_N;
  at::Tensor features_NF;
};

class Objective {
 public:
  virtual ~Objective() = default;
  [[nodiscard]] virtual std::string_view family() const = 0;
  [[nodiscard]] virtual const std::vector<NamedNet>& nets() const = 0;
  [[nodiscard]] virtual const std::vector<Phase>& phases() const = 0;
  /// Collective: all ranks (batch statistics).
  [[nodiscard]] virtual Losses losses(const Phase& phase, const PhaseInput& input) = 0;
  /// Which operations the step takes: steps with equal variants differ only in images and noise, so
  /// that a device may repeat one for another. More than one where penalties are lazy. Whatever
  /// else depends on the step must be computed from those two, or from tensors.
  [[nodiscard]] virtual std::int64_t variant(std::int64_t /*step*/) const { return 0; }

  /// What the trained model can do besides; nothing unless a family says so.
  [[nodiscard]] virtual std::int64_t latent_dims() const { return 0; }
  [[nodiscard]] virtual bool samples() const { return false; }  ///< decode(normal) makes images
  /// Throws: RefusedError where the model has no decoder.
  [[nodiscard]] virtual at::Tensor decode(const at::Tensor& z_NZ);
  [[nodiscard]] virtual Code code() const { return Code::kNone; }
  [[nodiscard]] virtual std::optional<Posterior> encode(const at::Tensor& /*x_NCHW*/) {
    return std::nullopt;
  }
  [[nodiscard]] virtual std::optional<Critique> criticise(const at::Tensor& /*x_NCHW*/) {
    return std::nullopt;
  }
};

}  // namespace atelier::objectives

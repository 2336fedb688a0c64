// Where a value that is not finite came from. A phase whose summed gradient is not finite changed
// no weight, so each rank can compute it once more by itself and look: at its images, at the
// weights, at its loss terms, at its own gradient. Good steps pay nothing for it. Thread safety:
// values and functions of one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "launch/comm/comm.h"
#include "trainer/engine/trained_net.h"
#include "trainer/objectives/objective.h"

namespace atelier::engine {

/// In the order in which one causes the next.
enum class Suspect : std::uint8_t { kNone, kImages, kWeights, kLoss, kGradient };

/// What one rank found first.
struct Finding {
  Suspect suspect = Suspect::kNone;
  std::int64_t index = 0;   ///< of the tensor or term among its kind
  std::int64_t values = 0;  ///< that are not finite in it
};

[[nodiscard]] std::int64_t count_non_finite(const at::Tensor& values);

/// The first of each kind that holds such a value. `images`, `losses`: of each micro-batch.
[[nodiscard]] Finding look_at_images(std::span<const at::Tensor> images);
[[nodiscard]] Finding look_at_weights(std::span<const std::unique_ptr<TrainedNet>> nets);
[[nodiscard]] Finding look_at_losses(const objectives::Phase& phase,
                                     std::span<const objectives::Losses> losses);
[[nodiscard]] Finding look_at_gradients(const FlatParameters& flat);

/// "loss term r1", "the gradient of convolutions.0.weight".
[[nodiscard]] std::string name_of(const Finding& finding, const objectives::Phase& phase,
                                  std::span<const std::unique_ptr<TrainedNet>> nets);

/// What comes first of all ranks' findings, and the lowest rank that found it.
/// Collective: all ranks. Throws: CommError.
struct Culprit {
  Finding finding;
  int rank = 0;
};
[[nodiscard]] Culprit find_culprit(comm::Comm& comm, const Finding& mine);

struct NonFinite {
  std::string net;  ///< whose phase it was
  Suspect suspect = Suspect::kNone;
  std::string what;
  int rank = 0;
  std::int64_t values = 0;
};

/// "net D: the gradient of convolutions.0.weight held 3 values that are not finite on rank 1".
[[nodiscard]] std::string describe(const NonFinite& found);

}  // namespace atelier::engine

// What a run measures of its model now and then: the stability indicators, each beside the same
// statistic of held-out real images, and the pictures. Everything is done with the weight averages,
// shared out among the ranks, and a function of seed and weights alone. Thread safety: one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "data/config.h"
#include "launch/comm/comm.h"
#include "monitoring/metrics.h"
#include "trainer/engine/engine.h"
#include "trainer/networks/geometry.h"
#include "trainer/quality/samples.h"

namespace atelier::loop {

struct IndicatorValue {
  monitoring::Indicator indicator;
  double value = 0;
  std::string net;                 ///< for the indicators that exist per net
  std::optional<double> held_out;  ///< the same statistic of held-out real images
};

/// How real images are read, and who is told of damage that is got over.
struct RealImages {
  data::LoadingConfig loading = {};
  std::function<void(const std::string&)> tell = {};
};

struct EvaluationOptions {
  std::uint64_t seed = 0;
  std::int64_t samples = 1000;
  networks::Geometry geometry;
  RealImages real = {};
};

/// Nets compute where they live, statistics and pictures are made on the host.
class Evaluation {
 public:
  /// Reads the reference images: up to `samples` held-out ones of split valid, 8,000 of train.
  /// Lifetime: `engine` and `comm` outlive it. Collective: all ranks. Throws: DataError, IoError.
  Evaluation(engine::Engine& engine, comm::Comm& comm, const data::Dataset& dataset,
             const EvaluationOptions& options);

  /// Collective: all ranks; equal on all of them.
  [[nodiscard]] std::vector<IndicatorValue> measure();

  /// Held-out images as a grid. Shapes: → [H', W', C] uint8.
  [[nodiscard]] at::Tensor reals_picture() const;
  /// Samples from fixed latents, when the model makes some. Local, as are all pictures.
  [[nodiscard]] std::optional<at::Tensor> samples_picture();
  /// Held-out images over their reconstructions, when the model encodes.
  [[nodiscard]] std::optional<at::Tensor> reconstructions_picture();

 private:
  [[nodiscard]] at::Tensor images(std::int64_t first, std::int64_t count) const;
  [[nodiscard]] at::Tensor decode(Stream stream, std::int64_t first, std::int64_t count);
  void measure_samples(std::vector<IndicatorValue>& values);
  void measure_discriminator(const at::Tensor& fakes, std::vector<IndicatorValue>& values);
  void measure_reconstruction(std::vector<IndicatorValue>& values);

  engine::Engine* engine_;
  comm::Comm* comm_;
  EvaluationOptions options_;
  at::Tensor held_out_;  ///< [N, H, W, C] uint8, the same on every rank
  std::optional<quality::RealReference> reference_;
};

/// `count` images spread evenly over a split, this rank's share of them or all. Where the run gets
/// over damage, the next good image takes the place of one that is damaged.
/// Shapes: → [n, H, W, C] uint8. Throws: DataError, IoError.
[[nodiscard]] at::Tensor read_spread(const data::Dataset& dataset, data::Split split,
                                     std::int64_t count, int rank, int world,
                                     const RealImages& real = {});

/// By metric name, as in stats.jsonl.
[[nodiscard]] std::map<std::string, double> named_values(const std::vector<IndicatorValue>& values);

}  // namespace atelier::loop

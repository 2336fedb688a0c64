// The images of a step: one loader per image stream of the objective, cut into micro-batches, made
// into tensors. A function of the configuration and the step alone. Thread safety: one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "data/loader.h"
#include "monitoring/meters.h"
#include "trainer/device/uploader.h"
#include "trainer/engine/engine.h"
#include "trainer/loop/config.h"
#include "trainer/networks/geometry.h"

namespace atelier::loop {

/// Images over all ranks that pass through the nets at once.
[[nodiscard]] std::uint64_t micro_batch(const RunConfig& config);

struct FeedOptions {
  data::Shard shard;
  int streams = 1;  ///< the objective's image streams
  std::int64_t first_step = 0;
  at::Device device = at::kCPU;  ///< where the images go
};

class Feed {
 public:
  /// Starts reading ahead from the first step on. Lifetime: `config` outlives the feed. Requires:
  /// require_trainable passed. Throws: DataError, IoError.
  Feed(const RunConfig& config, const data::Dataset& dataset, const FeedOptions& options);

  /// The next step's micro-batches on this rank. `timer`, when given, learns what time goes where.
  /// Lifetime: until the following call. Throws: DataError, IoError.
  [[nodiscard]] std::span<const engine::MicroBatch> next(at::ScalarType type,
                                                         monitoring::PhaseTimer* timer);

  /// Images of a step on this rank.
  [[nodiscard]] std::uint64_t local_images() const;
  /// What the loaders got over since the last call (data.on_damage).
  [[nodiscard]] std::vector<std::string> take_damage();
  /// Over all streams.
  [[nodiscard]] data::LoaderStats stats() const;

 private:
  /// As many images in each stream, where some were skipped. Throws: DataError when none are left.
  void even_out(std::vector<at::Tensor>& streams) const;
  [[nodiscard]] at::Tensor next_images(data::Loader& loader, at::ScalarType type,
                                       monitoring::PhaseTimer* timer);

  const RunConfig& config_;
  networks::Geometry geometry_;
  data::SlotRange slots_;  ///< of this rank in a micro-batch
  std::int64_t step_;
  device::Uploader uploads_;
  std::mutex mutex_;
  std::vector<std::string> damage_;  ///< guarded by it
  std::vector<std::unique_ptr<data::Loader>> loaders_;
  std::vector<std::vector<at::Tensor>> images_;  ///< of the step, by micro-batch and stream
  std::vector<engine::MicroBatch> micro_batches_;
};

[[nodiscard]] networks::Geometry geometry_of(const data::Dataset& dataset);

}  // namespace atelier::loop

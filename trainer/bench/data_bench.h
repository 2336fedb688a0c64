// How fast the loader hands out images, beside the least that must be done for them. No torch here.
// Thread safety: one thread.
#pragma once

#include <cstdint>
#include <string>

#include "data/order.h"
#include "data/shard_files.h"
#include "launch/base/file_system.h"

namespace atelier::bench {

struct DataBenchOptions {
  Path dataset;
  std::int64_t threads = 1;  ///< that read, and that the reference has, but for cold files: one
  std::int64_t batch = 256;
  std::int64_t rounds = 7;
  data::OrderMode order = data::OrderMode::kFull;
  data::Access access = data::Access::kAuto;
  bool cold = false;  ///< the files are not in the page cache
};

/// Passes over the training images, taking turns with the least that must be done for them
/// (data_references.h): memcpy of raw images, unpacking of others; reading the files past the page
/// cache where that is cold. Every image of a first pass is compared before anything is timed.
/// Returns one JSON document. Throws: DataError, IoError, RefusedError.
[[nodiscard]] std::string data_bench(const DataBenchOptions& options, FileSystem& files);

[[nodiscard]] std::string data_bench_text(const std::string& json);

}  // namespace atelier::bench

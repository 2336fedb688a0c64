// How fast the loader hands out images, beside a plain copy of the same bytes. No torch here.
// Thread safety: one thread.
#pragma once

#include <cstdint>
#include <string>

#include "data/order.h"
#include "launch/base/file_system.h"

namespace atelier::bench {

struct DataBenchOptions {
  Path dataset;
  std::int64_t threads = 1;  ///< that read, and that copy
  std::int64_t batch = 256;
  std::int64_t rounds = 7;
  data::OrderMode order = data::OrderMode::kFull;
};

/// Passes over the training images, their files in the page cache, taking turns with memcpy of all
/// of them from where the files are mapped to memory as large. Every image of a first pass is
/// compared before anything is timed. Returns one JSON document. Throws: DataError, IoError.
[[nodiscard]] std::string data_bench(const DataBenchOptions& options, FileSystem& files);

[[nodiscard]] std::string data_bench_text(const std::string& json);

}  // namespace atelier::bench

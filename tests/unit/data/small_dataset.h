// A dataset whose every byte a test can predict: image `id` is filled by pixel_of, label is id
// mod 3.
#pragma once

#include <cstring>

#include "data/dataset.h"
#include "data/dataset_writer.h"
#include "data/image_codec.h"

namespace atelier::data {

inline std::uint8_t pixel_of(std::uint64_t id, std::size_t at) {
  return static_cast<std::uint8_t>(id * 31 + at * 7 + (id >> 8U));
}

struct SmallDataset {
  ImageShape shape{8, 8, 3};
  std::array<std::uint64_t, 3> samples{100, 10, 20};
  std::uint64_t shard_bytes = 1U << 20U;
  Storage storage = Storage::kRaw;  ///< encoded: as PNG files
};

/// Ids run through train, valid, test in turn. Returns the opened dataset.
inline Dataset make_small(FileSystem& files, const Path& out, const SmallDataset& what = {}) {
  StagingFolder staging(files, out);
  DatasetPlan plan;
  plan.shape = what.shape;
  plan.class_names = {"a", "b", "c"};
  plan.samples = what.samples;
  plan.packing.storage = what.storage;
  plan.shard_bytes = what.shard_bytes;
  plan.source = "test";
  const std::size_t bytes = what.shape.bytes();
  write_dataset(files, SystemClock(), staging, plan, [&](const RowBlock& block) {
    std::uint64_t base = block.first;
    for (std::size_t s = 0; s < index_of(block.split); ++s) base += what.samples.at(s);
    for (std::uint64_t i = 0; i < block.count; ++i) {
      const std::uint64_t id = base + i;
      const auto label = static_cast<std::int64_t>(id % 3);
      std::vector<std::uint8_t> pixels(bytes);
      for (std::size_t at = 0; at < bytes; ++at) pixels[at] = pixel_of(id, at);
      if (what.storage == Storage::kEncoded) {
        const std::string png = encode_png(what.shape, pixels);
        const auto file = std::as_bytes(std::span(png));
        block.files[i].assign(file.begin(), file.end());
      } else {
        std::memcpy(&block.tables[kImages][i * bytes], pixels.data(), bytes);
      }
      std::memcpy(&block.tables[kLabels][i * 8], &label, 8);
      std::memcpy(&block.tables[kIds][i * 8], &id, 8);
    }
  });
  staging.publish();
  return Dataset::open(files, out);
}

}  // namespace atelier::data

// Images per second of the loader (one reader thread, batch 256, files in the page cache), beside a
// plain copy of as many bytes on the same machine at the same time. Every batch is compared with
// what the dataset was made of before anything is timed.
#include <chrono>
#include <cstring>
#include <iostream>
#include <vector>

#include "data/dataset.h"
#include "data/dataset_writer.h"
#include "data/loader.h"
#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

constexpr std::uint64_t kBatch = 256;

std::uint8_t value_of(std::uint64_t id) { return static_cast<std::uint8_t>(id * 37 + (id >> 8U)); }

Dataset make(FileSystem& files, const Path& out, int side, std::uint64_t samples) {
  StagingFolder staging(files, out);
  DatasetPlan plan;
  plan.shape = {side, side, 3};
  plan.class_names = {"one"};
  plan.samples = {samples, 0, 0};
  write_dataset(files, SystemClock(), staging, plan, [&](const RowBlock& block) {
    std::memset(block.tables[kLabels].data(), 0, block.tables[kLabels].size());
    for (std::uint64_t i = 0; i < block.count; ++i) {
      const std::uint64_t id = block.first + i;
      std::memset(&block.tables[kImages][i * plan.shape.bytes()], value_of(id), plan.shape.bytes());
      std::memcpy(&block.tables[kIds][i * sizeof(id)], &id, sizeof(id));
    }
  });
  staging.publish();
  return Dataset::open(files, out);
}

void check(const Dataset& dataset) {
  Loader loader(dataset, Split::kTrain, {.batch = kBatch});
  for (std::uint64_t step = 0; step < dataset.size(Split::kTrain) / kBatch; ++step) {
    const Batch batch = loader.next();
    for (std::size_t i = 0; i < kBatch; ++i) {
      for (std::size_t at = 0; at < dataset.shape().bytes(); ++at) {
        ATELIER_CHECK(batch.images_NHWC[i * dataset.shape().bytes() + at] == value_of(batch.ids[i]),
                      text("sample ", batch.ids[i]));
      }
    }
  }
}

double images_per_second(const Dataset& dataset, std::uint64_t epochs, LoaderStats& stats) {
  const std::uint64_t steps = epochs * dataset.size(Split::kTrain) / kBatch;
  const auto start = std::chrono::steady_clock::now();
  Loader loader(dataset, Split::kTrain, {.batch = kBatch});
  for (std::uint64_t step = 0; step < steps; ++step) (void)loader.next();
  stats = loader.stats();
  return static_cast<double>(steps * kBatch) / seconds(std::chrono::steady_clock::now() - start);
}

double copies_per_second(std::size_t bytes, std::uint64_t images) {
  std::vector<std::uint8_t> from(bytes * 16384, 1);
  std::vector<std::uint8_t> to(bytes * kBatch);
  std::uint64_t sum = 0;
  const auto start = std::chrono::steady_clock::now();
  for (std::uint64_t i = 0; i < images; ++i) {
    std::memcpy(&to[(i % kBatch) * bytes], &from[(i * 7919 % 16384) * bytes], bytes);
    sum += to[(i % kBatch) * bytes];
  }
  const double duration = seconds(std::chrono::steady_clock::now() - start);
  ATELIER_CHECK(sum == images, "copied wrong bytes");
  return static_cast<double>(images) / duration;
}

void run(const Path& folder) {
  LocalFileSystem files;
  for (const int side : {32, 64}) {
    const std::uint64_t samples = side == 32 ? 40000 : 16000;
    const Path out = folder / text("bench-", side);
    const Dataset dataset = make(files, out, side, samples);
    check(dataset);
    LoaderStats first;
    LoaderStats all;
    const double with_checks = images_per_second(dataset, 1, first);
    const double rate = images_per_second(dataset, 10, all);
    const double copies = copies_per_second(dataset.shape().bytes(), samples * 10);
    std::cout << dataset.shape().name() << ": " << fixed(with_checks / 1000, 0)
              << " k images/s in the first epoch (all blocks verified), " << fixed(rate / 1000, 0)
              << " k over ten; plain copy " << fixed(copies / 1000, 0)
              << " k; reader CPU per image "
              << fixed(all.reader_cpu_seconds * 1e6 / static_cast<double>(all.batches * kBatch), 2)
              << " us\n";
    files.remove_all(out);
  }
}

}  // namespace
}  // namespace atelier::data

int main(int count, char** values) {
  try {
    atelier::data::run(count > 1 ? atelier::Path(values[1])
                                 : std::filesystem::temp_directory_path());
    return 0;
  } catch (const atelier::Error& error) {
    std::cerr << error.what() << "\n";
    return static_cast<int>(error.exit_code());
  }
}

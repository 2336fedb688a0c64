#include "trainer/bench/data_references.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "data/large_memory.h"
#include "data/raw_file.h"
#include "data/reader.h"
#include "data/shard_files.h"
#include "launch/base/error.h"
#include "launch/base/text.h"
#include "trainer/bench/jpeg_alone.h"

namespace atelier::bench {
namespace {

/// `work(begin, end)` for as many parts of [0, count) as there are threads.
void in_parts(std::size_t count, std::size_t threads,
              const std::function<void(std::size_t, std::size_t)>& work) {
  std::vector<std::jthread> others;
  const auto part = [&](std::size_t number) {
    work(count * number / threads, count * (number + 1) / threads);
  };
  for (std::size_t number = 1; number < threads; ++number) others.emplace_back(part, number);
  part(0);
}

class PlainCopy final : public DataReference {
 public:
  PlainCopy(const data::Dataset& dataset, data::Split split)
      : files_(dataset, split, data::Access::kMap) {
    std::size_t bytes = 0;
    for (std::size_t shard = 0; shard < files_.count(); ++shard) {
      const data::ShardEntry& entry = files_.entry(shard);
      parts_.push_back({files_.mapped(shard) + entry.places[data::kImages].offset, bytes,
                        entry.num_samples * dataset.shape().bytes()});
      bytes += parts_.back().bytes;
    }
    to_.resize(bytes);
  }
  [[nodiscard]] std::string name() const override { return "memcpy"; }
  [[nodiscard]] std::size_t bytes() const override { return to_.size(); }
  void run(std::size_t threads) override {
    in_parts(to_.size(), threads, [&](std::size_t begin, std::size_t end) { copy(begin, end); });
  }

 private:
  struct Part {
    const std::byte* from;
    std::size_t at;
    std::size_t bytes;
  };
  void copy(std::size_t begin, std::size_t end) {
    for (const Part& part : parts_) {
      const std::size_t first = std::max(begin, part.at);
      const std::size_t last = std::min(end, part.at + part.bytes);
      if (first < last) std::memcpy(&to_[first], part.from + (first - part.at), last - first);
    }
  }
  data::ShardFiles files_;
  std::vector<Part> parts_;
  std::vector<std::byte> to_;
};

class UnpackingAlone final : public DataReference {
 public:
  UnpackingAlone(const data::Dataset& dataset, data::Split split)
      : packing_(dataset.manifest().packing), shape_(dataset.shape()) {
    data::Reader reader(dataset, split);
    for (std::uint64_t i = 0; i < reader.size(); ++i) {
      images_.push_back(reader.stored(i));
      bytes_ += images_.back().size();
    }
    run(1);  // tells of images of another kind here, not in a thread
  }
  [[nodiscard]] std::string name() const override { return "unpacking alone"; }
  [[nodiscard]] std::size_t bytes() const override { return bytes_; }
  void run(std::size_t threads) final {
    in_parts(images_.size(), threads, [&](std::size_t begin, std::size_t end) {
      if (packing_.storage == data::Storage::kEncoded) return decode(begin, end);
      std::vector<std::uint8_t> pixels(shape_.bytes());
      for (std::size_t i = begin; i < end; ++i) data::unpack(packing_, shape_, images_[i], pixels);
    });
  }

 private:
  void decode(std::size_t begin, std::size_t end) {
    // To an address from which libjpeg-turbo writes into the processor's caches: a multiple of 32
    // makes it half as fast where somebody reads what it wrote.
    constexpr std::size_t kUnit = 32;
    std::vector<std::uint8_t> memory(shape_.bytes() + 2 * kUnit);
    const auto at = reinterpret_cast<std::uintptr_t>(memory.data()) % kUnit;
    const auto pixels = std::span(memory).subspan(kUnit - at + kUnit / 2, shape_.bytes());
    JpegAlone jpeg;
    for (std::size_t i = begin; i < end; ++i) jpeg.decode(images_[i], shape_, pixels);
  }
  data::Packing packing_;
  data::ImageShape shape_;
  std::vector<std::vector<std::byte>> images_;
  std::size_t bytes_ = 0;
};

std::vector<Path> shards_of(const data::Dataset& dataset, data::Split split) {
  std::vector<Path> paths;
  for (const data::ShardEntry& entry : dataset.manifest().shards)
    if (entry.split == split) paths.push_back(dataset.folder() / entry.file);
  return paths;
}

class DirectReads final : public DataReference {
 public:
  DirectReads(const data::Dataset& dataset, data::Split split)
      : paths_(shards_of(dataset, split)), memory_(data::large_memory(kMemory)) {
    std::memset(memory_.get(), 1, kMemory);
    for (const Path& path : paths_)
      bytes_ += data::RawFile(path, data::RawFile::Mode::kRead).size();
  }
  [[nodiscard]] std::string name() const override { return "direct reads"; }
  [[nodiscard]] std::size_t bytes() const override { return bytes_; }
  void run(std::size_t /*threads*/) override {
    std::size_t to = 0;
    for (const Path& path : paths_) {
      const data::RawFile file(path, data::RawFile::Mode::kReadDirect);
      const std::uint64_t size = file.size();
      for (std::uint64_t at = 0; at < size; at += kAtOnce) {
        static_cast<void>(file.read_direct(at, {memory_.get() + to, kAtOnce}));
        to = (to + kAtOnce) % kMemory;
      }
    }
  }

 private:
  static constexpr std::size_t kAtOnce = std::size_t{4} << 20U;
  static constexpr std::size_t kMemory = std::size_t{512} << 20U;
  std::vector<Path> paths_;
  std::shared_ptr<std::byte> memory_;
  std::size_t bytes_ = 0;
};

/// Share of a file's pages that the system holds.
double cached_share(const data::RawFile& file) {
  const std::size_t bytes = file.size();
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  void* const mapped = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, file.handle(), 0);
  if (mapped == MAP_FAILED) return 1;
  std::vector<unsigned char> pages((bytes + page - 1) / page);
  const bool known = ::mincore(mapped, bytes, pages.data()) == 0;
  ::munmap(mapped, bytes);
  const auto held =
      std::count_if(pages.begin(), pages.end(), [](unsigned char is) { return is & 1U; });
  return known ? static_cast<double>(held) / static_cast<double>(pages.size()) : 1;
}

}  // namespace

std::unique_ptr<DataReference> plain_copy(const data::Dataset& dataset, data::Split split) {
  return std::make_unique<PlainCopy>(dataset, split);
}

std::unique_ptr<DataReference> unpacking_alone(const data::Dataset& dataset, data::Split split) {
  return std::make_unique<UnpackingAlone>(dataset, split);
}

std::unique_ptr<DataReference> direct_reads(const data::Dataset& dataset, data::Split split) {
  return std::make_unique<DirectReads>(dataset, split);
}

void drop_from_cache(const data::Dataset& dataset, data::Split split) {
  constexpr double kMostLeft = 0.02;
  for (const Path& path : shards_of(dataset, split)) {
    const data::RawFile file(path, data::RawFile::Mode::kRead);
    ::fdatasync(file.handle());
    ::posix_fadvise(file.handle(), 0, 0, POSIX_FADV_DONTNEED);
    if (const double left = cached_share(file); left > kMostLeft) {
      throw RefusedError(
          text("The system keeps ", fixed(100 * left, 0), " % of '", path.string(),
               "' in its cache."),
          "Somebody else uses it, it is not yours to write (then nobody can tell), or its "
          "file system is memory.");
    }
  }
}

}  // namespace atelier::bench

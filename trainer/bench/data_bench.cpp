#include "trainer/bench/data_bench.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

#include "data/loader.h"
#include "data/shard_files.h"
#include "launch/base/error.h"
#include "launch/base/hash.h"
#include "launch/base/random.h"
#include "launch/base/text.h"
#include "trainer/bench/timing.h"

namespace atelier::bench {
namespace {

using Json = nlohmann::ordered_json;
using data::Split;

constexpr Split kSplit = Split::kTrain;

// Of samples with their ids, whatever their order.
class Fingerprint {
 public:
  void add(std::uint64_t id, std::span<const std::uint8_t> pixels) {
    sum_ += mix64(mix64(id) ^ xxh3_64(std::as_bytes(pixels)));
    ++count_;
  }
  bool operator==(const Fingerprint&) const = default;

 private:
  std::uint64_t sum_ = 0;
  std::uint64_t count_ = 0;
};

// As a reader gets them one after the other.
Fingerprint in_order(const data::Dataset& dataset) {
  data::Reader reader(dataset, kSplit);
  std::vector<std::uint8_t> pixels(reader.shape().bytes());
  Fingerprint all;
  for (std::uint64_t i = 0; i < reader.size(); ++i) {
    reader.read({&i, 1}, pixels);
    all.add(reader.id(i), pixels);
  }
  return all;
}

data::LoaderOptions options_of(const DataBenchOptions& options, data::Check check) {
  return {.batch = static_cast<std::uint64_t>(options.batch),
          .order = options.order,
          .reading = {.check = check},
          .readers = static_cast<std::size_t>(options.threads)};
}

void verify(const data::Dataset& dataset, const DataBenchOptions& options) {
  data::LoaderOptions once = options_of(options, data::Check::kOnce);
  once.epochs = 1;
  data::Loader loader(dataset, kSplit, once);
  const std::size_t bytes = dataset.shape().bytes();
  Fingerprint loaded;
  for (std::uint64_t step = 0; step < loader.steps(); ++step) {
    const data::Batch batch = loader.next();
    for (std::size_t i = 0; i < batch.ids.size(); ++i) {
      loaded.add(batch.ids[i], batch.images_NHWC.subspan(i * bytes, bytes));
    }
  }
  if (loaded == in_order(dataset)) return;
  throw InternalError("The loader handed out other images than the dataset holds.");
}

// The images of all shards, where they are mapped, and as much memory of our own.
class PlainCopy {
 public:
  explicit PlainCopy(const data::Dataset& dataset) : files_(dataset, kSplit, data::Access::kMap) {
    std::size_t bytes = 0;
    for (std::size_t shard = 0; shard < files_.count(); ++shard) {
      const data::ShardEntry& entry = files_.entry(shard);
      parts_.push_back({files_.mapped(shard) + entry.places[data::kImages].offset, bytes,
                        entry.num_samples * dataset.shape().bytes()});
      bytes += parts_.back().bytes;
    }
    to_.resize(bytes);
  }

  [[nodiscard]] std::size_t bytes() const { return to_.size(); }

  void run(std::size_t threads) {
    std::vector<std::jthread> others;
    const auto copy = [&](std::size_t number) {
      copy_range(to_.size() * number / threads, to_.size() * (number + 1) / threads);
    };
    for (std::size_t number = 1; number < threads; ++number) others.emplace_back(copy, number);
    copy(0);
  }

 private:
  struct Part {
    const std::byte* from;
    std::size_t at;
    std::size_t bytes;
  };
  void copy_range(std::size_t begin, std::size_t end) {
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

}  // namespace

std::string data_bench(const DataBenchOptions& options, FileSystem& files) {
  const data::Dataset dataset = data::Dataset::open(files, options.dataset);
  verify(dataset, options);

  PlainCopy plain(dataset);
  // Kept over all rounds: the first one, which is not counted, checks every block.
  data::Loader once(dataset, kSplit, options_of(options, data::Check::kOnce));
  data::Loader off(dataset, kSplit, options_of(options, data::Check::kOff));
  const auto images = static_cast<std::int64_t>(dataset.size(kSplit));
  const std::int64_t steps = std::max<std::int64_t>(1, images / options.batch);
  const auto pass = [&](data::Loader& loader) {
    return [&loader, steps] {
      for (std::int64_t step = 0; step < steps; ++step) static_cast<void>(loader.next());
    };
  };
  const auto copy = [&] { plain.run(static_cast<std::size_t>(options.threads)); };
  const auto seconds = take_turns(static_cast<std::size_t>(options.rounds),
                                  {copy, pass(once), copy, pass(off)});  // both after the same
  const double share = static_cast<double>(steps * options.batch) / static_cast<double>(images);
  const auto rate = [&](std::size_t who, double count) {
    return count / quantiles(seconds[who]).median;
  };
  const auto told = [](const Quantiles& ratio, double factor) -> Json {
    return {{"median", factor * ratio.median},
            {"tenth", factor * ratio.tenth},
            {"ninetieth", factor * ratio.ninetieth}};
  };
  const auto loaded = static_cast<double>(steps * options.batch);
  const data::LoaderStats stats = once.stats();
  const double batches = static_cast<double>(stats.batches) * static_cast<double>(options.batch);
  return Json{{"bench", "data"},
              {"dataset", options.dataset.string()},
              {"image", dataset.shape().name()},
              {"images", images},
              {"bytes", plain.bytes()},
              {"threads", options.threads},
              {"batch", options.batch},
              {"order", options.order == data::OrderMode::kFull ? "full" : "block"},
              {"images_per_second", rate(1, loaded)},
              {"memcpy_images_per_second", rate(0, static_cast<double>(images))},
              {"ratio_to_memcpy", told(ratios(seconds[0], seconds[1]), share)},
              {"checked_once_to_unchecked", told(ratios(seconds[3], seconds[1]), 1)},
              {"planner_nanoseconds_per_image", 1e9 * stats.planner_cpu_seconds / batches},
              {"reader_nanoseconds_per_image", 1e9 * stats.reader_cpu_seconds / batches}}
             .dump(1) +
         "\n";
}

std::string data_bench_text(const std::string& json) {
  const Json result = Json::parse(json);
  const auto number = [&](const char* key) { return result.at(key).get<double>(); };
  const auto ratio = [&](const char* key) {
    const Json& of = result.at(key);
    return text(fixed(of.at("median").get<double>(), 2), " (",
                fixed(of.at("tenth").get<double>(), 2), " to ",
                fixed(of.at("ninetieth").get<double>(), 2), ")");
  };
  return text(human_count(result.at("images").get<std::int64_t>()), " images of ",
              result.at("image").get<std::string>(), " (",
              human_bytes(result.at("bytes").get<std::uint64_t>()), "), batches of ",
              result.at("batch").get<int>(), ", ", result.at("threads").get<int>(),
              " reader(s), order ", result.at("order").get<std::string>(), "\n  ",
              fixed(number("images_per_second") / 1000, 0),
              " k images/s; memcpy of all images with as many threads ",
              fixed(number("memcpy_images_per_second") / 1000, 0), " k: ", ratio("ratio_to_memcpy"),
              " of it\n  checked once beside unchecked, after the first pass: ",
              ratio("checked_once_to_unchecked"), "\n  processor time of an image: planner ",
              fixed(number("planner_nanoseconds_per_image"), 0), " ns, readers ",
              fixed(number("reader_nanoseconds_per_image"), 0), " ns\n");
}

}  // namespace atelier::bench

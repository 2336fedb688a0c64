#include "trainer/bench/data_bench.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

#include "data/loader.h"
#include "launch/base/error.h"
#include "launch/base/hash.h"
#include "launch/base/random.h"
#include "launch/base/text.h"
#include "trainer/bench/data_references.h"
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
          .reading = {.access = options.access, .check = check},
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

using Seconds = std::vector<std::vector<double>>;  // by contestant and round

// Contestants of both: the reference, the loader; warm also: the reference, the loader unchecked.
constexpr std::size_t kReference = 0;
constexpr std::size_t kLoader = 1;
constexpr std::size_t kUnchecked = 3;

/// Passes of one loader or of several.
class Passes {
 public:
  Passes(const data::Dataset& dataset, const DataBenchOptions& options)
      : dataset_(dataset),
        options_(options),
        steps_(std::max<std::int64_t>(
            1, static_cast<std::int64_t>(dataset.size(kSplit)) / options.batch)) {}

  // What a loader reads ahead belongs to the pass that it follows: the next one finds it ready.
  void run(data::Loader& loader) const {
    for (std::int64_t step = 0; step < steps_; ++step) static_cast<void>(loader.next());
    for (data::LoaderStats now = loader.stats(); now.ready < now.capacity; now = loader.stats())
      std::this_thread::sleep_for(std::chrono::microseconds(20));
  }
  [[nodiscard]] double images() const {
    return static_cast<double>(options_.cold ? dataset_.size(kSplit)
                                             : static_cast<std::uint64_t>(steps_ * options_.batch));
  }

  // The loaders are kept over all rounds: the first one, which is not counted, checks every block.
  Seconds warm(DataReference& reference, data::LoaderStats& stats) const {
    data::Loader once(dataset_, kSplit, options_of(options_, data::Check::kOnce));
    data::Loader off(dataset_, kSplit, options_of(options_, data::Check::kOff));
    const auto alone = [&] { reference.run(static_cast<std::size_t>(options_.threads)); };
    Seconds seconds =
        take_turns(static_cast<std::size_t>(options_.rounds),
                   {alone, [&] { run(once); }, alone, [&] { run(off); }});  // both after the same
    stats = once.stats();
    return seconds;
  }

  // Opening the files is part of it. One epoch, so that nothing is read ahead for another. Either
  // goes first in turn: a disk that is shared may give more to the first.
  Seconds cold(DataReference& reference, data::LoaderStats& stats) const {
    data::LoaderOptions options = options_of(options_, data::Check::kOnce);
    options.epochs = 1;
    const auto load = [&] {
      data::Loader loader(dataset_, kSplit, options);
      for (std::uint64_t step = 0; step < loader.steps(); ++step) static_cast<void>(loader.next());
      stats = loader.stats();
    };
    Seconds seconds(2);
    const auto time = [&](std::size_t contestant) {
      drop_from_cache(dataset_, kSplit);
      seconds[contestant].push_back(
          seconds_of([&] { contestant == kLoader ? load() : reference.run(1); }));
    };
    for (std::int64_t round = 0; round < options_.rounds; ++round) {
      time(round % 2 == 0 ? kReference : kLoader);
      time(round % 2 == 0 ? kLoader : kReference);
    }
    return seconds;
  }

 private:
  const data::Dataset& dataset_;
  const DataBenchOptions& options_;
  std::int64_t steps_;
};

std::unique_ptr<DataReference> reference_of(const data::Dataset& dataset, bool cold) {
  if (cold) return direct_reads(dataset, kSplit);
  return dataset.manifest().packing.varies() ? unpacking_alone(dataset, kSplit)
                                             : plain_copy(dataset, kSplit);
}

Json told(const Quantiles& ratio, double factor) {
  return {{"median", factor * ratio.median},
          {"tenth", factor * ratio.tenth},
          {"ninetieth", factor * ratio.ninetieth}};
}

std::string ratio_key(const std::string& reference) {
  std::string key = "ratio_to_" + reference;
  std::replace(key.begin(), key.end(), ' ', '_');
  return key;
}

std::string in_words(const Json& ratio) {
  return text(fixed(ratio.at("median").get<double>(), 2), " (",
              fixed(ratio.at("tenth").get<double>(), 2), " to ",
              fixed(ratio.at("ninetieth").get<double>(), 2), ")");
}

}  // namespace

std::string data_bench(const DataBenchOptions& options, FileSystem& files) {
  const data::Dataset dataset = data::Dataset::open(files, options.dataset);
  verify(dataset, options);

  const std::unique_ptr<DataReference> reference = reference_of(dataset, options.cold);
  const Passes passes(dataset, options);
  data::LoaderStats stats;
  const Seconds seconds =
      options.cold ? passes.cold(*reference, stats) : passes.warm(*reference, stats);
  const auto images = static_cast<double>(dataset.size(kSplit));
  const double batches = static_cast<double>(stats.batches) * static_cast<double>(options.batch);
  const std::string key = ratio_key(reference->name());
  Json result{{"bench", "data"},
              {"dataset", options.dataset.string()},
              {"image", dataset.shape().name()},
              {"storage", data::storage_name(dataset.manifest().packing.storage)},
              {"images", dataset.size(kSplit)},
              {"reference", reference->name()},
              {"reference_bytes", reference->bytes()},
              {"threads", options.threads},
              {"batch", options.batch},
              {"order", options.order == data::OrderMode::kFull ? "full" : "block"},
              {"images_per_second", passes.images() / quantiles(seconds[kLoader]).median},
              {"reference_images_per_second", images / quantiles(seconds[kReference]).median},
              {key, told(ratios(seconds[kReference], seconds[kLoader]), passes.images() / images)},
              {"planner_nanoseconds_per_image", 1e9 * stats.planner_cpu_seconds / batches},
              {"reader_nanoseconds_per_image", 1e9 * stats.reader_cpu_seconds / batches}};
  if (!options.cold)
    result["checked_once_to_unchecked"] = told(ratios(seconds[kUnchecked], seconds[kLoader]), 1);
  return result.dump(1) + "\n";
}

std::string data_bench_text(const std::string& json) {
  const Json result = Json::parse(json);
  const auto number = [&](const char* key) { return result.at(key).get<double>(); };
  const auto reference = result.at("reference").get<std::string>();
  const std::string key = ratio_key(reference);
  std::string out =
      text(human_count(result.at("images").get<std::int64_t>()), " images of ",
           result.at("image").get<std::string>(), " (", result.at("storage").get<std::string>(),
           ", ", human_bytes(result.at("reference_bytes").get<std::uint64_t>()), "), batches of ",
           result.at("batch").get<int>(), ", ", result.at("threads").get<int>(),
           " reader(s), order ", result.at("order").get<std::string>(), "\n  ",
           fixed(number("images_per_second") / 1000, 1), " k images/s; ", reference,
           " of all images ", fixed(number("reference_images_per_second") / 1000, 1),
           " k: ", in_words(result.at(key)), " of it\n");
  if (result.contains("checked_once_to_unchecked")) {
    out += text("  checked once beside unchecked, after the first pass: ",
                in_words(result.at("checked_once_to_unchecked")), "\n");
  }
  return out + text("  processor time of an image: planner ",
                    fixed(number("planner_nanoseconds_per_image"), 0), " ns, readers ",
                    fixed(number("reader_nanoseconds_per_image"), 0), " ns\n");
}

}  // namespace atelier::bench

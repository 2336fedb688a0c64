#include "trainer/loop/feed.h"

#include <algorithm>
#include <utility>

#include "launch/base/error.h"
#include "launch/base/text.h"
#include "trainer/device/device.h"
#include "trainer/engine/images.h"

namespace atelier::loop {

using monitoring::Phase;

networks::Geometry geometry_of(const data::Dataset& dataset) {
  const data::ImageShape& shape = dataset.shape();
  return {.channels = shape.channels, .height = shape.height, .width = shape.width};
}

namespace {

// What copies to the device run fastest from.
std::function<std::shared_ptr<void>(std::size_t)> memory_for(at::Device device) {
  return [device](std::size_t bytes) {
    const at::Tensor memory =
        device::staging(device, {static_cast<std::int64_t>(bytes)}, torch::kByte);
    return std::shared_ptr<void>(memory.mutable_data_ptr(), [memory](void*) {});
  };
}

}  // namespace

std::uint64_t micro_batch(const RunConfig& config) {
  return static_cast<std::uint64_t>(config.train.batch / config.train.accumulation);
}

Feed::Feed(const RunConfig& config, const data::Dataset& dataset, const FeedOptions& options)
    : config_(config),
      geometry_(geometry_of(dataset)),
      slots_(data::slots_of(micro_batch(config), options.shard)),
      step_(options.first_step),
      uploads_(options.device) {
  for (int stream = 0; stream < options.streams; ++stream) {
    data::LoaderOptions loading = data::loader_options(config.loading);
    loading.batch = micro_batch(config);
    loading.shard = options.shard;
    loading.seed = static_cast<std::uint64_t>(config.train.seed);
    loading.stream = static_cast<std::uint64_t>(stream);
    loading.first_step = static_cast<std::uint64_t>(options.first_step * config.train.accumulation);
    loading.tell = [this](const std::string& what) {
      const std::scoped_lock lock(mutex_);
      damage_.push_back(what);
    };
    if (!options.device.is_cpu()) loading.allocate = memory_for(options.device);
    loaders_.push_back(std::make_unique<data::Loader>(dataset, data::Split::kTrain, loading));
  }
}

at::Tensor Feed::next_images(data::Loader& loader, at::ScalarType type,
                             monitoring::PhaseTimer* timer) {
  if (timer != nullptr) timer->enter(Phase::kDataWait);
  uploads_.finish();  // the loader may fill again what it handed out before
  const data::Batch batch = loader.next();
  if (timer != nullptr) timer->enter(Phase::kH2d);
  at::Tensor flip;
  if (config_.schedule.flip) {
    flip = uploads_.upload(engine::flips({.seed = static_cast<std::uint64_t>(config_.train.seed),
                                          .epochs = batch.epochs,
                                          .ids = batch.ids}));
  }
  return engine::to_images(uploads_.upload(engine::as_tensor(batch.images_NHWC, geometry_)), flip,
                           type);
}

std::span<const engine::MicroBatch> Feed::next(at::ScalarType type, monitoring::PhaseTimer* timer) {
  images_.clear();
  micro_batches_.clear();
  for (std::int64_t part = 0; part < config_.train.accumulation; ++part) {
    auto& streams = images_.emplace_back();
    for (const auto& loader : loaders_) streams.push_back(next_images(*loader, type, timer));
    if (config_.loading.on_damage == data::OnDamage::kSkip) even_out(streams);
    const std::uint64_t first =
        static_cast<std::uint64_t>(part) * micro_batch(config_) + slots_.first;
    micro_batches_.push_back(
        {.position = {.seed = static_cast<std::uint64_t>(config_.train.seed),
                      .step = step_,
                      .first_slot = static_cast<std::int64_t>(first),
                      .local_batch = streams.front().size(0),
                      .global_batch = static_cast<std::int64_t>(micro_batch(config_))},
         .images_NCHW = {}});
  }
  for (std::size_t i = 0; i < images_.size(); ++i) micro_batches_[i].images_NCHW = images_[i];
  ++step_;
  return micro_batches_;
}

void Feed::even_out(std::vector<at::Tensor>& streams) const {
  std::int64_t least = streams.front().size(0);
  for (const at::Tensor& images : streams) least = std::min(least, images.size(0));
  if (least == 0) {
    throw DataError(text("No image of step ", step_, " on this rank is good."),
                    "Restore the dataset from a copy, or set data.on_damage = \"substitute\".");
  }
  for (at::Tensor& images : streams) images = images.narrow(0, 0, least);
}

std::vector<std::string> Feed::take_damage() {
  const std::scoped_lock lock(mutex_);
  return std::exchange(damage_, {});
}

std::uint64_t Feed::local_images() const {
  return slots_.count * static_cast<std::uint64_t>(config_.train.accumulation);
}

data::LoaderStats Feed::stats() const {
  data::LoaderStats sum{};
  for (const auto& loader : loaders_) {
    const data::LoaderStats one = loader->stats();
    sum.ready += one.ready;
    sum.capacity += one.capacity;
    sum.bytes_read += one.bytes_read;
    sum.wait_seconds += one.wait_seconds;
    sum.planner_cpu_seconds += one.planner_cpu_seconds;
    sum.reader_cpu_seconds += one.reader_cpu_seconds;
    sum.unpack_cpu_seconds += one.unpack_cpu_seconds;
    sum.skipped += one.skipped;
    sum.substituted += one.substituted;
  }
  return sum;
}

}  // namespace atelier::loop

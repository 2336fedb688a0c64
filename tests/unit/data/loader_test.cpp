#include "data/loader.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launch/base/error.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/data/damage.h"
#include "tests/unit/data/small_dataset.h"

namespace atelier::data {
namespace {

/// One sample as a loader hands it out.
struct Seen {
  std::uint64_t id;
  std::uint64_t epoch;
  std::int64_t label;
  std::vector<std::uint8_t> pixels;
  bool operator==(const Seen&) const = default;
};

void append(const Batch& batch, std::vector<Seen>& out) {
  const std::size_t bytes =
      batch.slots.count == 0 ? 0 : batch.images_NHWC.size() / batch.slots.count;
  for (std::size_t i = 0; i < batch.slots.count; ++i) {
    const auto pixels = batch.images_NHWC.subspan(i * bytes, bytes);
    out.push_back({batch.ids[i], batch.epochs[i], batch.labels[i], {pixels.begin(), pixels.end()}});
  }
}

class LoaderTest : public testing::Test {
 protected:
  std::vector<Seen> global_samples(const Dataset& dataset, LoaderOptions options, int world,
                                   std::uint64_t steps) {
    std::vector<Seen> out;
    std::vector<std::unique_ptr<Loader>> ranks;
    for (int rank = 0; rank < world; ++rank) {
      options.shard = {rank, world};
      ranks.push_back(std::make_unique<Loader>(dataset, Split::kTrain, options));
    }
    for (std::uint64_t step = 0; step < steps; ++step) {
      for (auto& loader : ranks) {
        const Batch batch = loader->next();
        EXPECT_EQ(batch.step, options.first_step + step);
        append(batch, out);
      }
    }
    return out;
  }

  LocalFileSystem files_;
  test::TemporaryFolder temporary_;
  const Path& folder_ = temporary_.path();
};

TEST_F(LoaderTest, gives_the_right_pixels_and_labels) {
  const Dataset dataset = make_small(files_, folder_ / "set");

  for (const Seen& seen : global_samples(dataset, {.batch = 7, .seed = 3}, 1, 40)) {
    EXPECT_EQ(seen.label, static_cast<std::int64_t>(seen.id % 3));
    for (std::size_t at = 0; at < seen.pixels.size(); ++at)
      ASSERT_EQ(seen.pixels[at], pixel_of(seen.id, at));
  }
}

TEST_F(LoaderTest, gives_the_same_samples_on_any_world_size) {
  const Dataset dataset = make_small(files_, folder_ / "set");
  const LoaderOptions options{.batch = 13, .seed = 3};
  const auto one = global_samples(dataset, options, 1, 20);

  for (const int world : {2, 3, 4, 5, 6, 7, 8, 16})
    EXPECT_EQ(one, global_samples(dataset, options, world, 20)) << world;
}

TEST_F(LoaderTest, batches_straddle_epochs_and_each_epoch_is_exactly_once) {
  const Dataset dataset = make_small(files_, folder_ / "set", {.samples = {10, 0, 0}});

  for (const std::uint64_t batch : {3U, 10U, 64U}) {  // 64: several epochs in one batch
    std::map<std::uint64_t, std::multiset<std::uint64_t>> epochs;
    for (const Seen& seen : global_samples(dataset, {.batch = batch, .seed = 3}, 2, 40))
      epochs[seen.epoch].insert(seen.id);
    epochs.erase(std::prev(epochs.end()));  // the last may be cut
    EXPECT_GE(epochs.size(), 11U);
    for (const auto& [epoch, ids] : epochs)
      EXPECT_EQ(ids, (std::multiset<std::uint64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})) << epoch;
  }
}

TEST_F(LoaderTest, resuming_at_any_step_equals_going_on) {
  const Dataset dataset = make_small(files_, folder_ / "set", {.samples = {10, 0, 0}});
  const auto whole = global_samples(dataset, {.batch = 4, .seed = 3}, 1, 12);

  for (std::uint64_t step = 0; step <= 12; ++step) {
    const auto rest =
        global_samples(dataset, {.batch = 4, .seed = 3, .first_step = step}, 1, 12 - step);
    EXPECT_TRUE(std::equal(rest.begin(), rest.end(), whole.begin() + static_cast<long>(step * 4),
                           whole.end()));
  }
}

TEST_F(LoaderTest, streams_are_independent_orders) {
  const Dataset dataset = make_small(files_, folder_ / "set");

  EXPECT_NE(global_samples(dataset, {.batch = 16, .stream = 0}, 1, 2),
            global_samples(dataset, {.batch = 16, .stream = 1}, 1, 2));
}

TEST_F(LoaderTest, a_ring_of_one_gives_the_same_as_a_deep_one) {
  const Dataset dataset = make_small(files_, folder_ / "set");

  EXPECT_EQ(global_samples(dataset, {.batch = 8, .depth = 1}, 1, 30),
            global_samples(dataset, {.batch = 8, .depth = 8}, 1, 30));
}

TEST_F(LoaderTest, a_batch_stays_valid_until_the_next_one) {
  const Dataset dataset = make_small(files_, folder_ / "set");
  Loader loader(dataset, Split::kTrain, {.batch = 8, .depth = 1});
  for (int step = 0; step < 50; ++step) {
    const Batch batch = loader.next();
    while (loader.stats().ready < loader.stats().capacity) std::this_thread::yield();

    for (std::size_t i = 0; i < 8; ++i)
      ASSERT_EQ(batch.images_NHWC[i * 192], pixel_of(batch.ids[i], 0));
  }
}

TEST_F(LoaderTest, images_lie_in_memory_of_the_callers_making) {
  const Dataset dataset = make_small(files_, folder_ / "set");
  std::vector<std::shared_ptr<std::vector<std::uint8_t>>> made;
  LoaderOptions options{.batch = 8, .depth = 2};
  options.allocate = [&](std::size_t bytes) {
    made.push_back(std::make_shared<std::vector<std::uint8_t>>(bytes));
    return std::shared_ptr<void>(made.back()->data(), [](void*) {});
  };
  Loader loader(dataset, Split::kTrain, options);
  const auto expected = global_samples(dataset, {.batch = 8}, 1, 5);

  std::vector<Seen> found;
  for (int step = 0; step < 5; ++step) {
    const Batch batch = loader.next();
    append(batch, found);
    EXPECT_TRUE(std::any_of(made.begin(), made.end(), [&](const auto& memory) {
      return memory->data() == batch.images_NHWC.data();
    }));
  }
  EXPECT_EQ(made.size(), 3U);  // one more than are read ahead
  EXPECT_EQ(found, expected);
}

TEST_F(LoaderTest, any_number_of_readers_and_any_way_of_reading_give_the_same) {
  const Dataset dataset = make_small(files_, folder_ / "set");
  const auto expected = global_samples(dataset, {.batch = 13, .seed = 3}, 1, 40);
  for (const Access access : {Access::kMap, Access::kRead, Access::kDirect}) {
    for (const Check check : {Check::kOff, Check::kOnce, Check::kAlways}) {
      for (const std::size_t readers : {1U, 2U, 5U}) {
        const LoaderOptions options{.batch = 13,
                                    .seed = 3,
                                    .reading = {.access = access, .check = check},
                                    .readers = readers,
                                    .depth = 4};
        EXPECT_EQ(global_samples(dataset, options, 2, 40), expected);
      }
    }
  }
}

TEST_F(LoaderTest, deflated_images_come_as_raw_ones_do_in_any_order) {
  const Dataset raw = make_small(files_, folder_ / "raw");
  const Dataset deflated = make_small(files_, folder_ / "set", {.storage = Storage::kDeflate});
  for (const OrderMode order : {OrderMode::kFull, OrderMode::kBlock}) {
    const LoaderOptions options{.batch = 13, .seed = 3, .order = order, .readers = 3, .depth = 1};
    EXPECT_EQ(global_samples(deflated, options, 2, 40), global_samples(raw, options, 1, 40));
  }
}

TEST_F(LoaderTest, in_block_mode_too_every_world_size_gets_the_same_samples_of_every_step) {
  const Dataset dataset = make_small(files_, folder_ / "set");
  const LoaderOptions options{
      .batch = 13, .seed = 3, .order = OrderMode::kBlock, .lanes = 4, .window = 2};
  const auto one = global_samples(dataset, options, 1, 30);
  for (const int world : {2, 3, 4, 5, 6, 7, 8, 16}) {
    EXPECT_EQ(one, global_samples(dataset, options, world, 30)) << world;
  }
  EXPECT_NE(one, global_samples(dataset, {.batch = 13, .seed = 3}, 1, 30));
}

TEST_F(LoaderTest, blocks_that_are_read_directly_give_the_same_samples_whatever_the_storage) {
  for (const Storage storage : {Storage::kRaw, Storage::kDeflate}) {
    const Dataset dataset =
        make_small(files_, folder_ / storage_name(storage), {.storage = storage});
    LoaderOptions options{
        .batch = 13, .seed = 3, .order = OrderMode::kBlock, .lanes = 4, .window = 2};
    const auto mapped = global_samples(dataset, options, 1, 60);
    options.reading.access = Access::kDirect;
    for (const std::size_t readers : {1U, 3U}) {
      options.readers = readers;
      EXPECT_EQ(global_samples(dataset, options, 2, 60), mapped);
    }
  }
}

TEST_F(LoaderTest, an_epoch_that_changes_its_batch_and_world_on_the_way_is_still_exactly_once) {
  const std::uint64_t samples = 101;
  const Dataset dataset = make_small(files_, folder_ / "set", {.samples = {samples, 0, 0}});
  for (const OrderMode mode : {OrderMode::kFull, OrderMode::kBlock}) {
    std::multiset<std::uint64_t> ids;
    std::uint64_t position = 0;
    for (std::uint64_t part = 0; position < samples; ++part) {
      LoaderOptions options{.batch = 7 + part * 5, .seed = 3, .order = mode, .lanes = 5};
      options.first_position = position;
      options.epochs = 1;
      for (const Seen& seen : global_samples(dataset, options, static_cast<int>(part % 3) + 1, 1)) {
        EXPECT_EQ(seen.epoch, 0U);
        ids.insert(seen.id);
      }
      position += options.batch;
    }
    EXPECT_EQ(ids.size(), samples);
    EXPECT_EQ(std::set(ids.begin(), ids.end()).size(), samples);
  }
}

TEST_F(LoaderTest, one_epoch_ends_with_a_batch_of_what_is_left) {
  const Dataset dataset = make_small(files_, folder_ / "set", {.samples = {10, 0, 0}});
  Loader loader(dataset, Split::kTrain, {.batch = 4, .epochs = 1});

  ASSERT_EQ(loader.steps(), 3U);
  EXPECT_EQ(loader.next().slots.count, 4U);
  EXPECT_EQ(loader.next().slots.count, 4U);
  EXPECT_EQ(loader.next().ids.size(), 2U);
  EXPECT_THROW((void)loader.next(), InternalError);
}

TEST_F(LoaderTest, ranks_beyond_the_batch_get_empty_batches) {
  const Dataset dataset = make_small(files_, folder_ / "set");
  Loader loader(dataset, Split::kTrain, {.batch = 2, .shard = {3, 4}});

  EXPECT_EQ(loader.next().slots.count, 0U);
  EXPECT_EQ(loader.next().step, 1U);
}

TEST_F(LoaderTest, destroying_it_does_not_wait_for_a_consumer) {
  const Dataset dataset = make_small(files_, folder_ / "set");
  for (int i = 0; i < 100; ++i)
    const Loader loader(dataset, Split::kTrain, {.batch = 8, .depth = 1});
}

TEST_F(LoaderTest, a_damaged_block_reaches_the_caller_with_its_name) {
  const Dataset dataset = make_small(files_, folder_ / "set", {.shape = {64, 64, 3}});
  const ShardEntry& shard = dataset.manifest().shards.front();
  flip_byte(folder_ / "set/train-00000-of-00002.h5", shard.places[kImages].offset + 5);
  Loader loader(dataset, Split::kTrain, {.batch = 8});

  try {
    for (int step = 0; step < 20; ++step) (void)loader.next();
    FAIL() << "the damage went unnoticed";
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("Block 0 of /images"));
    EXPECT_THAT(error.what(), testing::HasSubstr("train-00000-of-00002.h5"));
    EXPECT_THAT(error.what(), testing::HasSubstr("sample ids 0, 1, 2, 3 and"));
  }
  EXPECT_THROW((void)loader.next(), DataError);
}

// What a loader that gets over a damaged first block of the first shard hands out in an epoch.
struct Damaged {
  std::multiset<std::uint64_t> ids;
  std::vector<std::string> told;
  LoaderStats stats;
};

Damaged epoch_over_damage(const Dataset& dataset, OnDamage policy) {
  Damaged found;
  LoaderOptions options{.batch = 8, .epochs = 1, .on_damage = policy};
  options.tell = [&](const std::string& what) { found.told.push_back(what); };
  Loader loader(dataset, Split::kTrain, options);
  for (std::uint64_t step = 0; step < loader.steps(); ++step) {
    const Batch batch = loader.next();
    EXPECT_EQ(batch.images_NHWC.size(), batch.ids.size() * dataset.shape().bytes());
    EXPECT_EQ(batch.labels.size(), batch.ids.size());
    EXPECT_EQ(batch.epochs.size(), batch.ids.size());
    for (std::size_t i = 0; i < batch.ids.size(); ++i) {
      EXPECT_EQ(batch.images_NHWC[i * dataset.shape().bytes()], pixel_of(batch.ids[i], 0));
      EXPECT_EQ(batch.labels[i], static_cast<std::int64_t>(batch.ids[i] % 3));
      found.ids.insert(batch.ids[i]);
    }
  }
  found.stats = loader.stats();
  return found;
}

TEST_F(LoaderTest, samples_of_a_damaged_block_are_skipped_or_substituted_when_told_so) {
  const Dataset dataset =
      make_small(files_, folder_ / "set", {.shape = {64, 64, 3}, .samples = {200, 0, 0}});
  const ShardEntry& shard = dataset.manifest().shards.front();
  flip_byte(folder_ / "set" / shard.file, shard.places[kImages].offset + 5);

  const Damaged skipped = epoch_over_damage(dataset, OnDamage::kSkip);
  EXPECT_EQ(skipped.ids.size(), 200U - 64);
  EXPECT_EQ(skipped.stats.skipped, 64U);
  ASSERT_EQ(skipped.told.size(), 1U);
  EXPECT_THAT(skipped.told[0], testing::HasSubstr("Block 0 of /images"));

  const Damaged substituted = epoch_over_damage(dataset, OnDamage::kSubstitute);
  EXPECT_EQ(substituted.ids.size(), 200U);
  EXPECT_EQ(std::set(substituted.ids.begin(), substituted.ids.end()).size(), 200U - 64);
  EXPECT_EQ(substituted.stats.substituted, 64U);
  EXPECT_EQ(substituted.ids, epoch_over_damage(dataset, OnDamage::kSubstitute).ids);
}

TEST_F(LoaderTest, damage_of_where_images_end_is_got_over_when_told_so) {
  const Dataset dataset =
      make_small(files_, folder_ / "set",
                 {.samples = {200, 0, 0}, .shard_bytes = 20000, .storage = Storage::kDeflate});
  const ShardEntry& shard = dataset.manifest().shards.at(1);
  flip_byte(folder_ / "set" / shard.file, shard.places.back().offset);
  for (const OrderMode order : {OrderMode::kFull, OrderMode::kBlock}) {
    for (const OnDamage on_damage : {OnDamage::kSkip, OnDamage::kSubstitute}) {
      std::atomic<int> told = 0;
      LoaderOptions options{.batch = 20, .epochs = 1, .order = order, .on_damage = on_damage};
      options.tell = [&](const std::string& what) {
        told += what.find("/ends") != std::string::npos ? 1 : 0;
      };
      Loader loader(dataset, Split::kTrain, options);
      std::uint64_t samples = 0;
      for (std::uint64_t step = 0; step < loader.steps(); ++step)
        samples += loader.next().ids.size();
      EXPECT_EQ(samples, on_damage == OnDamage::kSkip ? 200 - shard.num_samples : 200);
      EXPECT_GE(told, 1);
    }
  }
}

TEST_F(LoaderTest, a_shard_truncated_while_it_is_read_is_an_error_not_a_crash) {
  const Dataset dataset = make_small(files_, folder_ / "set", {.shape = {64, 64, 3}});
  Loader loader(dataset, Split::kTrain, {.batch = 1, .depth = 1});
  (void)loader.next();
  std::filesystem::resize_file(folder_ / "set/train-00000-of-00002.h5", 5000);

  EXPECT_THROW(
      for (int step = 0; step < 200; ++step) { (void)loader.next(); }, DataError);
}

TEST_F(LoaderTest, nothing_within_the_deadline_is_an_error) {
  const Dataset dataset = make_small(files_, folder_ / "set");
  Loader loader(dataset, Split::kTrain, {.batch = 200000, .deadline = std::chrono::nanoseconds(0)});

  EXPECT_THROW((void)loader.next(), IoError);
}

TEST_F(LoaderTest, refuses_what_cannot_be_loaded) {
  const Dataset dataset = make_small(files_, folder_ / "set", {.samples = {5, 0, 0}});

  EXPECT_THROW(Loader(dataset, Split::kValid, {}), DataError);
  EXPECT_THROW(Loader(dataset, Split::kTrain, {.batch = 0}), ConfigError);
  EXPECT_THROW(Loader(dataset, Split::kTrain, {.depth = 0}), ConfigError);
}

TEST_F(LoaderTest, counts_what_it_did) {
  const Dataset dataset = make_small(files_, folder_ / "set");
  Loader loader(dataset, Split::kTrain, {.batch = 100, .depth = 2});
  for (int step = 0; step < 3; ++step) (void)loader.next();

  const LoaderStats stats = loader.stats();

  EXPECT_EQ(stats.batches, 3U);
  EXPECT_EQ(stats.capacity, 2U);
  EXPECT_EQ(stats.blocks_verified, 1U);
  EXPECT_GE(stats.bytes_read, 3U * 100 * 192);
  EXPECT_GT(stats.reader_cpu_seconds, 0);
}

}  // namespace
}  // namespace atelier::data

#include "data/block_cache.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launch/base/error.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/data/small_dataset.h"

namespace atelier::data {
namespace {

using testing::HasSubstr;

class BlockCacheTest : public testing::Test {
 protected:
  // As the files have them.
  [[nodiscard]] std::vector<std::byte> bytes_at(const BlockCache::Place& place) {
    std::vector<std::byte> bytes(place.bytes);
    files_.read(place.shard, place.offset, bytes);
    return bytes;
  }
  static std::vector<std::byte> bytes_of(const BlockCache::Wanted& block) {
    return {block->bytes().begin(), block->bytes().end()};
  }

  LocalFileSystem system_;
  test::TemporaryFolder folder_;
  Dataset dataset_ = make_small(system_, folder_.path() / "set");
  ShardFiles files_{dataset_, Split::kTrain, Access::kDirect};
};

TEST_F(BlockCacheTest, gives_the_bytes_of_any_place_to_the_end_of_its_file) {
  BlockCache cache(files_, 1000, 5000);
  const std::uint64_t size = files_.entry(0).bytes;
  std::uint64_t number = 0;
  for (const std::uint64_t offset : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{4095},
                                     std::uint64_t{4096}, std::uint64_t{5000}, size - 1}) {
    for (const std::uint64_t bytes : {1U, 4096U, 4097U, 9000U}) {
      const BlockCache::Place place{0, offset, std::min<std::uint64_t>(bytes, size - offset)};
      EXPECT_EQ(bytes_of(cache.want(number++, place)), bytes_at(place)) << offset << " " << bytes;
    }
  }
}

TEST_F(BlockCacheTest, keeps_a_block_while_somebody_wants_it) {
  BlockCache cache(files_, 2, 5000);
  EXPECT_EQ(cache.find(1), nullptr);
  BlockCache::Wanted first = cache.want(1, {0, 0, 100});
  EXPECT_EQ(cache.find(1), first);
  EXPECT_EQ(cache.want(1, {0, 0, 100}), first);
  static_cast<void>(first->bytes());
  first.reset();
  // The thread that has read it may hold it a moment longer.
  while (cache.find(1) != nullptr) std::this_thread::yield();
}

TEST_F(BlockCacheTest, uses_memory_again) {
  BlockCache cache(files_, 1, 5000);
  std::set<const std::byte*> met;
  for (int i = 0; i < 500; ++i) met.insert(cache.want(0, {0, 0, 100})->bytes().data());
  EXPECT_LT(met.size(), 20U);
}

TEST_F(BlockCacheTest, a_block_may_outlive_the_cache) {
  BlockCache::Wanted block;
  {
    BlockCache cache(files_, 1, 5000);
    block = cache.want(0, {0, 10, 100});
    static_cast<void>(block->bytes());
  }
  EXPECT_EQ(bytes_of(block), bytes_at({0, 10, 100}));
}

TEST_F(BlockCacheTest, names_the_file_that_ends_too_soon) {
  BlockCache cache(files_, 1, 5000);
  const std::uint64_t size = files_.entry(0).bytes;
  const BlockCache::Wanted block = cache.want(0, {0, size - 10, 20});
  try {
    static_cast<void>(block->bytes());
    FAIL();
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr(files_.entry(0).file));
    EXPECT_THAT(error.what(), HasSubstr(std::to_string(size + 10)));
  }
}

TEST(ChosenAccess, keeps_what_the_system_can_hold_and_reads_the_rest_as_its_order_wants) {
  EXPECT_EQ(chosen_access(50, 100, false, false), Access::kMap);
  EXPECT_EQ(chosen_access(50, 100, false, true), Access::kMap);
  EXPECT_EQ(chosen_access(50, 100, true, true), Access::kRead);
  EXPECT_EQ(chosen_access(51, 100, false, false), Access::kRead);
  EXPECT_EQ(chosen_access(51, 100, false, true), Access::kDirect);
  EXPECT_EQ(chosen_access(51, 100, true, true), Access::kDirect);
}

}  // namespace
}  // namespace atelier::data

// What the loader holds does not grow with the dataset, its files, or the epochs that pass.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>

#include <gtest/gtest.h>
#include <malloc.h>

#include "data/loader.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/data/small_dataset.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;  // they keep what is freed
#else
constexpr bool kSanitized = false;
#endif

namespace atelier::data {
namespace {

// Of this process; pages of mapped files are the system's.
std::int64_t own_kilobytes() {
  std::ifstream status("/proc/self/status");
  std::string key;
  std::int64_t kilobytes = 0;
  while (status >> key && key != "RssAnon:") status.ignore(4096, '\n');
  status >> kilobytes;
  return kilobytes;
}

std::size_t open_files() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& file : std::filesystem::directory_iterator("/proc/self/fd"))
    ++count;
  return count;
}

class LoaderMemoryTest : public testing::TestWithParam<Access> {
 protected:
  /// Hands out so many epochs.
  static void pass(Loader& loader, const Dataset& dataset, std::uint64_t epochs) {
    const std::uint64_t batches = dataset.size(Split::kTrain) * epochs / 64;
    for (std::uint64_t i = 0; i < batches; ++i) static_cast<void>(loader.next());
  }
  [[nodiscard]] LoaderOptions options() const {
    return {.batch = 64, .reading = {.access = GetParam()}, .readers = 2};
  }
  LocalFileSystem files_;
  test::TemporaryFolder folder_;
};

INSTANTIATE_TEST_SUITE_P(Ways, LoaderMemoryTest, testing::Values(Access::kMap, Access::kRead),
                         [](const auto& one) {
                           return std::string(one.param == Access::kMap ? "mapped" : "read");
                         });

TEST_P(LoaderMemoryTest, does_not_grow_with_epochs_nor_with_hundreds_of_files) {
  const Dataset dataset =
      make_small(files_, folder_.path() / "many",
                 {.shape = {4, 4, 1}, .samples = {2400, 2, 2}, .shard_bytes = 200});
  ASSERT_GT(dataset.manifest().shards.size(), ShardFiles::kMostOpen + 40);
  const std::size_t files_before = open_files();
  Loader loader(dataset, Split::kTrain, options());
  pass(loader, dataset, 3);
  const std::int64_t before = own_kilobytes();
  pass(loader, dataset, 60);
  EXPECT_LE(open_files(), files_before + ShardFiles::kMostOpen + 8);
  if (!kSanitized) {
    EXPECT_LT(own_kilobytes(), before + 1024);
  }
}

TEST_P(LoaderMemoryTest, does_not_grow_with_the_number_of_samples) {
  const auto held = [&](const char* name, std::uint64_t samples) {
    const Dataset dataset = make_small(files_, folder_.path() / name,
                                       {.shape = {16, 16, 3}, .samples = {samples, 2, 2}});
    // The least of some: what threads happen to find free in the heap differs by a MiB.
    std::int64_t least = std::numeric_limits<std::int64_t>::max();
    for (int turn = 0; turn < 5; ++turn) {
      ::malloc_trim(0);  // what the turn before had is to be found anew
      const std::int64_t before = own_kilobytes();
      Loader loader(dataset, Split::kTrain, options());
      pass(loader, dataset, 2);
      least = std::min(least, own_kilobytes() - before);
    }
    return least;
  };
  const std::int64_t small = held("small", 640);
  const std::int64_t large = held("large", 32000);
  if (!kSanitized) {
    EXPECT_LT(large, small + 1024);
  }
}

// Blocks in use and those fetched ahead, some 70 MiB here.
TEST(LoaderMemoryOfDirectReads, does_not_grow_with_the_number_of_samples) {
  if (kSanitized) GTEST_SKIP() << "sanitizers keep what is freed, so that memory tells nothing";
  LocalFileSystem files;
  const test::TemporaryFolder folder;
  const auto most_held = [&](const char* name, std::uint64_t samples) {
    const Dataset dataset =
        make_small(files, folder.path() / name, {.shape = {64, 64, 3}, .samples = {samples, 2, 2}});
    const std::int64_t before = own_kilobytes();
    Loader loader(dataset, Split::kTrain,
                  {.batch = 64,
                   .order = OrderMode::kBlock,
                   .lanes = 4,
                   .window = 1,
                   .reading = {.access = Access::kDirect}});
    std::int64_t most = 0;
    for (std::uint64_t i = 0; i < samples / 64; ++i) {
      static_cast<void>(loader.next());
      if (i % 16 == 0) most = std::max(most, own_kilobytes() - before);
    }
    return most;
  };
  constexpr std::int64_t kPiece = 33 * 1024;  // memory comes in pieces
  EXPECT_LT(most_held("large", 20000), most_held("small", 10000) + kPiece);
}

}  // namespace
}  // namespace atelier::data

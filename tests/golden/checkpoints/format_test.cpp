// A checkpoint of every released format stays readable; the current one is written as its example
// in checkpoints/FORMAT.md says, byte for byte.
#include <array>
#include <cstring>

#include <gtest/gtest.h>

#include "checkpoints/store.h"
#include "tests/support/temporary_folder.h"

namespace atelier::checkpoints {
namespace {

const Path kExample = Path(ATELIER_FORMAT_FOLDER) / "step-0000000003";
constexpr std::array<float, 2> kValues{1, 2};

TEST(CheckpointFormat, version_1_0_is_read) {
  LocalFileSystem files;

  const Loaded loaded = read_checkpoint(files, kExample);

  EXPECT_EQ(loaded.step, 3);
  EXPECT_EQ(loaded.state_json, "{}");
  const TensorView& w = loaded.file("model.safetensors").tensor("w");
  EXPECT_EQ(describe(w), "F32 [2]");
  EXPECT_EQ(std::memcmp(w.bytes.data(), kValues.data(), sizeof kValues), 0);
}

TEST(CheckpointFormat, current_version_is_written_as_documented) {
  const test::TemporaryFolder folder;
  LocalFileSystem files;
  NullLog log;
  const TensorView w{{"w", DType::kF32, {2}}, std::as_bytes(std::span(kValues))};

  const SaveResult result =
      Store(files, log, {folder.path()}).save({3, {{"model.safetensors", {w}, {}}}, "{}"});

  ASSERT_TRUE(result.ok) << result.reason;
  EXPECT_EQ(files.list(result.directory), files.list(kExample));
  for (const std::string& name : files.list(kExample))
    EXPECT_EQ(files.read(result.directory / name), files.read(kExample / name)) << name;
}

}  // namespace
}  // namespace atelier::checkpoints

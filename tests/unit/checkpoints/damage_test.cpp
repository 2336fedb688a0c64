// Promise 3 of DESIGN.md: no damage to a checkpoint goes unnoticed, whichever byte it hits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoints/store.h"
#include "launch/base/error.h"
#include "tests/unit/checkpoints/sample_state.h"
#include "tests/unit/checkpoints/simulated_disk.h"

namespace atelier::checkpoints {
namespace {

using ::testing::HasSubstr;

constexpr std::uint64_t kChunk = 64;

class DamageTest : public ::testing::Test {
 protected:
  DamageTest() {
    files_.create_directories(folder_);
    for (const std::int64_t step : {1, 2})
      EXPECT_TRUE(store().save(SampleState(step).contents()).ok);
  }
  [[nodiscard]] Store store() { return {files_, log_, {folder_, 3, kChunk}}; }
  [[nodiscard]] Path newest() const { return folder_ / step_name(2); }
  void put(const std::string& name, const std::string& content) {
    files_.remove_all(newest() / name);
    files_.create(newest() / name)->append(std::as_bytes(std::span(content)));
  }
  /// The fault that read_checkpoint and verify both find.
  [[nodiscard]] std::string fault() {
    const VerifyReport report = verify(files_, newest());
    try {
      static_cast<void>(read_checkpoint(files_, newest()));
      return report.ok() ? "none" : "verify alone: " + report.faults[0];
    } catch (const CheckpointError& problem) {
      return report.ok() ? text("load alone: ", problem.what()) : problem.what();
    }
  }
  void expect_fallback() {
    FallbackReport report;
    const auto loaded = store().load_latest(report);
    ASSERT_TRUE(loaded);
    EXPECT_EQ(SampleState(1).mismatch(*loaded), "");
    ASSERT_EQ(report.rejected.size(), 1U);
    files_.rename(report.rejected[0].path, newest());
  }

  const Path folder_ = "/run/checkpoints";
  test::SimulatedDisk files_;  // for speed
  NullLog log_;
};

TEST_F(DamageTest, every_flipped_bit_is_found_with_file_and_offset) {
  for (const std::string& name : files_.list(newest())) {
    const std::string whole = files_.read(newest() / name);
    for (std::size_t at = 0; at < whole.size(); ++at) {
      std::string changed = whole;
      changed[at] = static_cast<char>(changed[at] ^ (1 << (at % 8)));
      put(name, changed);

      const std::string found = fault();

      ASSERT_THAT(found, HasSubstr(name));
      ASSERT_THAT(found, ::testing::Not(HasSubstr("alone"))) << at;
      if (name != kManifestName) {
        const std::size_t begin = at / kChunk * kChunk;
        ASSERT_THAT(found, HasSubstr(text("bytes ", begin, " to ",
                                          std::min<std::size_t>(begin + kChunk, whole.size()))));
      }
      expect_fallback();
    }
    put(name, whole);
  }
  EXPECT_EQ(fault(), "none");
}

TEST_F(DamageTest, every_truncation_and_extension_is_found) {
  for (const std::string& name : files_.list(newest())) {
    const std::string whole = files_.read(newest() / name);
    for (std::size_t length = 0; length < whole.size(); ++length) {
      put(name, whole.substr(0, length));
      ASSERT_THAT(fault(), HasSubstr(name)) << length;
    }
    put(name, whole + " ");
    ASSERT_THAT(fault(), HasSubstr(name));
    put(name, whole);
  }
}

TEST_F(DamageTest, every_missing_file_is_found) {
  for (const std::string& name : files_.list(newest())) {
    const std::string whole = files_.read(newest() / name);
    files_.remove_all(newest() / name);
    EXPECT_THAT(fault(), HasSubstr(name + "': it is not there"));
    expect_fallback();
    put(name, whole);
  }
}

TEST_F(DamageTest, verify_lists_all_faults) {
  put("model.safetensors", "short");
  put("state.json", "{}");

  EXPECT_EQ(verify(files_, newest()).faults.size(), 2U);
}

TEST_F(DamageTest, files_of_another_checkpoint_do_not_fit) {
  put("optimizer.safetensors", files_.read(folder_ / step_name(1) / "optimizer.safetensors"));

  EXPECT_THAT(fault(), HasSubstr("optimizer.safetensors"));
}

}  // namespace
}  // namespace atelier::checkpoints

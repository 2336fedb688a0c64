#include "checkpoints/store.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoints/diff.h"
#include "launch/base/error.h"
#include "launch/base/hash.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/checkpoints/sample_state.h"

namespace atelier::checkpoints {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class StoreTest : public ::testing::Test {
 protected:
  [[nodiscard]] Path directory() const { return folder_.path() / "checkpoints"; }
  [[nodiscard]] Store store(int keep_last = 3) { return {files_, log_, {directory(), keep_last}}; }
  void save(std::int64_t step, int keep_last = 3) {
    const SaveResult result = store(keep_last).save(SampleState(step).contents());
    ASSERT_TRUE(result.ok) << result.reason;
  }
  [[nodiscard]] std::vector<std::int64_t> steps() {
    std::vector<std::int64_t> result;
    for (const Entry& entry : store().list()) result.push_back(entry.step);
    return result;
  }
  void flip(const Path& file, std::uint64_t at) const {
    std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekg(static_cast<std::streamoff>(at));
    const int byte = stream.get();
    stream.seekp(static_cast<std::streamoff>(at));
    stream.put(static_cast<char>(byte ^ 0x10));
  }
  void damage(std::int64_t step) const {
    flip(directory() / step_name(step) / "model.safetensors", 100);
  }

  test::TemporaryFolder folder_;
  LocalFileSystem files_;
  NullLog log_;
};

TEST_F(StoreTest, saved_state_comes_back_whole) {
  const SampleState state(12, 1000);

  const SaveResult result = Store(files_, log_, {directory(), 3, 512}).save(state.contents());

  ASSERT_TRUE(result.ok) << result.reason;
  EXPECT_FALSE(result.already_there);
  EXPECT_EQ(result.directory, directory() / "step-0000000012");
  FallbackReport report;
  const auto loaded = store().load_latest(report);
  ASSERT_TRUE(loaded);
  EXPECT_EQ(state.mismatch(*loaded), "");
  EXPECT_EQ(loaded->bytes, result.bytes);
  EXPECT_TRUE(report.rejected.empty());
  EXPECT_EQ(files_.read(directory() / "latest"), "step-0000000012\n");
  EXPECT_THAT(files_.list(directory()), ElementsAre("latest", "step-0000000012"));
}

TEST_F(StoreTest, same_state_gives_same_bytes_anywhere) {
  save(7);
  const Path other = folder_.path() / "other";
  ASSERT_TRUE(Store(files_, log_, {other}).save(SampleState(7).contents()).ok);

  for (const std::string& name : files_.list(other / "step-0000000007"))
    EXPECT_EQ(files_.read(other / "step-0000000007" / name),
              files_.read(directory() / "step-0000000007" / name));
}

TEST_F(StoreTest, keeps_the_newest_three) {
  for (const std::int64_t step : {1, 2, 3, 4, 5}) save(step);

  EXPECT_THAT(steps(), ElementsAre(5, 4, 3));
}

TEST_F(StoreTest, what_was_just_written_is_never_retired) {
  for (const std::int64_t step : {20, 30, 40}) save(step);

  save(15);

  EXPECT_THAT(steps(), ElementsAre(40, 30, 20, 15));
  EXPECT_EQ(files_.read(directory() / "latest"), "step-0000000015\n");
}

TEST_F(StoreTest, going_on_from_an_older_step_puts_newer_ones_aside) {
  for (const std::int64_t step : {10, 20, 30}) save(step);

  store().set_aside_after(10);
  save(15);

  EXPECT_THAT(steps(), ElementsAre(15, 10));
  EXPECT_EQ(files_.list(directory() / "abandoned").size(), 2U) << "nothing is lost";
  FallbackReport report;
  EXPECT_EQ(store().load_latest(report)->step, 15);
}

TEST_F(StoreTest, damaged_newer_ones_do_not_push_out_good_old_ones) {
  for (const std::int64_t step : {1, 2, 3}) save(step);
  damage(2);
  damage(3);

  save(4, 2);
  EXPECT_THAT(steps(), ElementsAre(4, 3, 2, 1)) << "4 and 1 are the only good ones";

  save(5, 2);
  EXPECT_THAT(steps(), ElementsAre(5, 4));
}

TEST_F(StoreTest, same_step_with_same_contents_is_a_success_without_work) {
  save(3);

  const SaveResult again = store().save(SampleState(3).contents());

  EXPECT_TRUE(again.ok);
  EXPECT_TRUE(again.already_there);
}

TEST_F(StoreTest, same_step_is_replaced_when_damaged_or_different) {
  save(3);
  damage(3);

  EXPECT_FALSE(store().save(SampleState(3).contents()).already_there);
  EXPECT_EQ(SampleState(3).mismatch(store().load(directory() / "step-0000000003")), "");

  const SampleState sample(3);
  Contents other = sample.contents();
  const SampleState state(4);
  other.files = state.contents().files;
  ASSERT_TRUE(store().save(other).ok);
  const Loaded loaded = store().load(directory() / "step-0000000003");
  EXPECT_EQ(loaded.file("model.safetensors").tensor("conv.bias").bytes[0],
            state.contents().files[0].tensors[1].bytes[0]);
  EXPECT_THAT(files_.list(directory()), ElementsAre("latest", "step-0000000003"));
}

TEST_F(StoreTest, falls_back_to_the_previous_good_one_and_quarantines_the_bad) {
  for (const std::int64_t step : {1, 2, 3}) save(step);
  damage(3);
  files_.remove_all(directory() / step_name(2) / "MANIFEST.json");

  FallbackReport report;
  const auto loaded = store().load_latest(report);

  ASSERT_TRUE(loaded);
  EXPECT_EQ(SampleState(1).mismatch(*loaded), "");
  ASSERT_EQ(report.rejected.size(), 2U);
  EXPECT_THAT(report.rejected[0].reason, HasSubstr("model.safetensors': bytes 0 to "));
  EXPECT_THAT(report.rejected[1].reason, HasSubstr("MANIFEST.json': it is not there"));
  EXPECT_TRUE(files_.exists(report.rejected[0].path / "model.safetensors")) << "kept";
  EXPECT_THAT(steps(), ElementsAre(1));
}

TEST_F(StoreTest, with_nothing_to_fall_back_on_nothing_is_moved) {
  save(1);
  damage(1);

  FallbackReport report;
  EXPECT_FALSE(store().load_latest(report));

  EXPECT_EQ(report.rejected.size(), 1U);
  EXPECT_THAT(steps(), ElementsAre(1));
}

TEST_F(StoreTest, explicit_path_that_is_bad_is_an_error_and_stays) {
  save(1);
  damage(1);

  EXPECT_THROW(static_cast<void>(store().load(directory() / step_name(1))), CheckpointError);
  EXPECT_THAT(steps(), ElementsAre(1));
}

TEST_F(StoreTest, copy_under_a_free_name_can_be_loaded_under_another_step_not) {
  save(1);
  std::filesystem::copy(directory() / step_name(1), folder_.path() / "best");
  std::filesystem::copy(directory() / step_name(1), directory() / step_name(9));

  EXPECT_EQ(SampleState(1).mismatch(store().load(folder_.path() / "best")), "");
  EXPECT_THROW(static_cast<void>(store().load(directory() / step_name(9))), CheckpointError);
}

TEST_F(StoreTest, newer_format_stops_with_both_versions) {
  save(1);
  save(2);
  const Path manifest = directory() / step_name(2) / kManifestName;
  std::string document = files_.read(manifest);
  document.replace(document.find("[1, 0]"), 6, "[2, 3]");
  const std::size_t self = document.find("\"self_xxh3_64\"");
  const std::string body = document.substr(0, self);
  std::ofstream(manifest) << body << "\"self_xxh3_64\": \"" << to_hex(xxh3_64(body)) << "\"\n}\n";

  FallbackReport report;
  try {
    static_cast<void>(store().load_latest(report));
    FAIL() << "accepted";
  } catch (const ConfigError& problem) {
    EXPECT_THAT(problem.what(), HasSubstr("format 2.3, this program reads 1.x"));
  }
  EXPECT_THAT(steps(), ElementsAre(2, 1));
}

TEST_F(StoreTest, cleans_what_it_left_and_nothing_else) {
  save(1);
  const std::string nonce = "0123456789abcdef";
  for (const std::string& name :
       {".tmp-step-0000000002-" + nonce, ".trash-step-0000000000-" + nonce,
        std::string(".tmp-latest-123"), std::string(".tmp-mine"),
        std::string(".tmp-step-0000000002-notes"), std::string("step-5"), std::string("notes")}) {
    files_.create_directories(directory() / name / "inside");
  }

  save(2);

  EXPECT_THAT(files_.list(directory()),
              ElementsAre(".tmp-mine", ".tmp-step-0000000002-notes", "latest", "notes",
                          "step-0000000001", "step-0000000002", "step-5"));
}

TEST_F(StoreTest, replacement_cut_short_is_undone) {
  save(1);
  files_.rename(directory() / step_name(1),
                directory() / (".old-" + step_name(1) + "-0123456789abcdef"));

  FallbackReport report;
  const auto loaded = store().load_latest(report);

  ASSERT_TRUE(loaded);
  EXPECT_EQ(SampleState(1).mismatch(*loaded), "");
}

TEST_F(StoreTest, bad_policy_is_refused_with_all_faults) {
  try {
    Store(files_, log_, {"", 1, 0});
    FAIL() << "accepted";
  } catch (const ConfigError& problem) {
    EXPECT_THAT(problem.what(),
                HasSubstr("not named; keep_last is 1, the least is 2; chunk_bytes"));
  }
}

TEST_F(StoreTest, contents_that_do_not_fit_together_are_a_defect) {
  const SampleState sample(1);
  Contents contents = sample.contents();
  contents.files[0].name = "../model.safetensors";
  EXPECT_THROW(static_cast<void>(store().save(contents)), InternalError);
  contents.files[0].name = contents.files[1].name;
  EXPECT_THROW(static_cast<void>(store().save(contents)), InternalError);
}

TEST(StepName, pads_to_ten_digits_and_reads_back_only_that) {
  EXPECT_EQ(step_name(12000), "step-0000012000");
  EXPECT_EQ(step_of("step-0000012000"), 12000);
  EXPECT_EQ(step_of(step_name(123456789012)), 123456789012);
  for (const char* name :
       {"step-1", "step-00000000012", "step--000000001", "step-000000001x", "latest"})
    EXPECT_EQ(step_of(name), -1) << name;
}

TEST_F(StoreTest, diff_names_tensors_and_largest_difference) {
  const auto number = [](float value) {
    TensorData tensor{{"w", DType::kF32, {2}}, std::vector<std::byte>(8)};
    std::memcpy(&tensor.bytes[4], &value, 4);
    return tensor;
  };
  const TensorData one = number(1.0F);
  const TensorData three = number(3.5F);
  const TensorData only = sample_tensor("only", DType::kU8, {1}, 1);
  ASSERT_TRUE(store().save({1, {{"m.safetensors", {{one, one.bytes}}, {}}}, "{}"}).ok);
  ASSERT_TRUE(
      store()
          .save({2, {{"m.safetensors", {{three, three.bytes}, {only, only.bytes}}, {}}}, "{}"})
          .ok);

  const auto differences = diff(files_, directory() / step_name(1), directory() / step_name(2));

  ASSERT_EQ(differences.size(), 2U);
  EXPECT_EQ(differences[0].tensor, "only");
  EXPECT_EQ(differences[1].tensor, "w");
  EXPECT_EQ(differences[1].elements, 1U);
  EXPECT_EQ(differences[1].max_abs, 2.5);
  EXPECT_TRUE(diff(files_, directory() / step_name(1), directory() / step_name(1)).empty());
}

}  // namespace
}  // namespace atelier::checkpoints

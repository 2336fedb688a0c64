#include "data/dataset.h"

#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "data/describe.h"
#include "data/reader.h"
#include "data/verify.h"
#include "launch/base/error.h"
#include "launch/base/hash.h"
#include "launch/base/random.h"
#include "launch/base/text.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/data/damage.h"
#include "tests/unit/data/small_dataset.h"

namespace atelier::data {
namespace {

using testing::HasSubstr;

class DatasetTest : public testing::Test {
 protected:
  [[nodiscard]] Path set() const { return temporary_.path() / "set"; }

  std::string open_error() {
    try {
      (void)Dataset::open(files_, set());
    } catch (const DataError& error) {
      return error.what();
    }
    return "no DataError";
  }

  /// Opens the dataset with a changed manifest whose own hash is right again.
  std::string error_with(const std::function<void(nlohmann::ordered_json&)>& change) {
    auto json = nlohmann::ordered_json::parse(original_);
    change(json);
    json["manifest_hash"] = std::string(16, '0');
    std::string content = json.dump(1);
    const std::string hash = to_hex(xxh3_64(content));
    content.replace(content.rfind(std::string(16, '0')), 16, hash);
    write_file(set() / "manifest.json", content);
    return open_error();
  }

  void make(const SmallDataset& what = {}) {
    make_small(files_, set(), what);
    original_ = file_content(set() / "manifest.json");
  }

  LocalFileSystem files_;
  test::TemporaryFolder temporary_;
  std::string original_;
};

TEST_F(DatasetTest, names_a_missing_folder_manifest_and_shard) {
  EXPECT_THAT(open_error(), HasSubstr("There is no dataset"));
  std::filesystem::create_directories(set());
  EXPECT_THAT(open_error(), HasSubstr("holds no manifest.json"));
  std::filesystem::remove_all(set());
  make();
  std::filesystem::remove(set() / "valid-00000-of-00001.h5");
  EXPECT_THAT(open_error(), HasSubstr("valid-00000-of-00001.h5' is missing"));
}

TEST_F(DatasetTest, finds_a_truncated_or_grown_shard_when_opened) {
  make();
  const Path shard = set() / "train-00000-of-00001.h5";
  const std::uint64_t bytes = std::filesystem::file_size(shard);

  for (const std::uint64_t size :
       {std::uint64_t{0}, std::uint64_t{1}, bytes / 2, bytes - 1, bytes + 1}) {
    std::filesystem::resize_file(shard, size);
    EXPECT_THAT(open_error(), HasSubstr(text("has ", size, " bytes, expected ", bytes)));
  }
}

TEST_F(DatasetTest, any_changed_byte_of_the_manifest_is_found) {
  make();
  for (std::size_t at = 0; at < original_.size(); at += 7) {
    std::string changed = original_;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    write_file(set() / "manifest.json", changed);
    EXPECT_NE(open_error(), "no DataError") << at;
  }
  for (std::size_t length = 0; length < original_.size(); length += 101) {
    write_file(set() / "manifest.json", original_.substr(0, length));
    EXPECT_NE(open_error(), "no DataError") << length;
  }
}

TEST_F(DatasetTest, refuses_a_newer_format_and_reads_a_newer_minor) {
  make();
  EXPECT_THAT(error_with([](auto& json) { json["format_version"] = "3.0"; }),
              HasSubstr("format version '3.0' and this program reads 1.x and 2.x"));
  EXPECT_EQ(error_with([](auto& json) { json["format_version"] = "1.7"; }), "no DataError");
}

TEST_F(DatasetTest, refuses_hostile_manifests_by_field) {
  make();
  const std::vector<std::pair<std::string, std::function<void(nlohmann::ordered_json&)>>> attacks{
      {"file", [](auto& j) { j["shards"][0]["file"] = "../../etc/passwd.h5"; }},
      {"file", [](auto& j) { j["shards"][0]["file"] = "/etc/passwd.h5"; }},
      {"file", [](auto& j) { j["shards"][0]["file"] = std::string("a\0.h5", 5); }},
      {"twice", [](auto& j) { j["shards"][1]["file"] = j["shards"][0]["file"]; }},
      {"height", [](auto& j) { j["image"]["height"] = 1U << 30U; }},
      {"height", [](auto& j) { j["image"]["height"] = -1; }},
      {"channels", [](auto& j) { j["image"]["channels"] = 2; }},
      {"tables", [](auto& j) { j["tables"].erase(1); }},
      {"tables", [](auto& j) { j["image"]["width"] = 9; }},
      {"num_samples", [](auto& j) { j["shards"][0]["num_samples"] = ~std::uint64_t{0}; }},
      {"num_samples", [](auto& j) { j["shards"][0]["num_samples"] = "many"; }},
      {"end behind the file", [](auto& j) { j["shards"][0]["num_samples"] = 1U << 20U; }},
      {"end behind the file",
       [](auto& j) { j["shards"][0]["hash_offsets"][0] = j["shards"][0]["bytes"]; }},
      {"disagree", [](auto& j) { j["shards"].erase(0); }},
      {"disagree", [](auto& j) { j["splits"]["train"]["num_samples"] = 99; }},
      {"class_counts", [](auto& j) { j["class_names"].push_back("d"); }},
      {"table_hashes",
       [](auto& j) { j["splits"]["test"]["table_hashes"] = nlohmann::json::array(); }},
      {"dataset_id", [](auto& j) { j["class_names"][0] = "z"; }},
      {"data_offset", [](auto& j) { j["shards"][0]["data_offset"] = 0; }},
      {"block_rows", [](auto& j) { j["tables"][0]["block_rows"] = 1; }},
      {"pixel_sums", [](auto& j) { j["pixel_sums"].push_back(1); }},
      {"shards", [](auto& j) { j["shards"] = 5; }},
      {"splits", [](auto& j) { j.erase("splits"); }},
      {"format", [](auto& j) { j["format"] = "other"; }},
      {"object", [](auto& j) { j["image"] = "32x32"; }}};

  for (const auto& [field, attack] : attacks) EXPECT_THAT(error_with(attack), HasSubstr(field));
  for (const char* content : {"", "[]", "{}", "null", "{\"format\": 1}", "\xff\xfe"}) {
    write_file(set() / "manifest.json", content);
    EXPECT_NE(open_error(), "no DataError") << content;
  }
}

TEST_F(DatasetTest, the_reader_compares_offsets_with_what_hdf5_says) {
  make();
  EXPECT_EQ(error_with([](auto& json) {
              json["shards"][0]["data_offset"] = 4097;
              json["shards"][0]["table_offsets"][0] = 4097;
            }),
            "no DataError");

  EXPECT_THROW(static_cast<void>(Reader(Dataset::open(files_, set()), Split::kTrain).id(0)),
               DataError);
}

TEST_F(DatasetTest, shards_hold_the_samples_whatever_their_number) {
  make({.shape = {16, 16, 1}, .samples = {500, 3, 0}, .shard_bytes = 30000});
  const Dataset dataset = Dataset::open(files_, set());
  EXPECT_EQ(dataset.manifest().shards.size(), 6U);
  Reader reader(dataset, Split::kTrain);
  std::vector<std::uint8_t> image(256);

  for (std::uint64_t i = 0; i < 500; ++i) {
    reader.read(std::array{i}, image);
    EXPECT_EQ(reader.id(i), i);
    EXPECT_EQ(image[200], pixel_of(i, 200));
  }
  EXPECT_EQ(Reader(dataset, Split::kTest).size(), 0U);
}

TEST_F(DatasetTest, a_swapped_label_table_is_found_before_it_is_used) {
  make();
  const ShardEntry shard = Dataset::open(files_, set()).manifest().shards.front();
  flip_byte(set() / shard.file, shard.places[kLabels].offset);

  EXPECT_THROW(static_cast<void>(Reader(Dataset::open(files_, set()), Split::kTrain).label(0)),
               DataError);
}

struct Flip {
  std::uint64_t at;
  int mask;
};

// Some bits of [begin, begin + bytes), or, with ATELIER_FLIPS=all, every one: minutes.
std::vector<Flip> flips(std::uint64_t begin, std::uint64_t bytes, std::uint64_t some) {
  const char* const wish = std::getenv("ATELIER_FLIPS");
  const bool all = wish != nullptr && std::string(wish) == "all";
  std::vector<Flip> out;
  for (std::uint64_t i = 0; i < (all ? bytes * 8 : some); ++i) {
    const std::uint64_t bit =
        all ? i : uniform_below({.seed = 1, .major = i, .minor = begin}, bytes * 8);
    out.push_back({begin + bit / 8, 1 << (bit % 8)});
  }
  return out;
}

class StoredDatasetTest : public DatasetTest, public testing::WithParamInterface<Storage> {};
INSTANTIATE_TEST_SUITE_P(Storages, StoredDatasetTest,
                         testing::Values(Storage::kRaw, Storage::kDeflate, Storage::kEncoded),
                         [](const auto& one) { return std::string(storage_name(one.param)); });

TEST_P(StoredDatasetTest, verify_names_a_flip_of_any_byte_of_a_shard) {
  make({.samples = {300, 0, 0}, .storage = GetParam()});
  const Dataset dataset = Dataset::open(files_, set());
  const ShardEntry& shard = dataset.manifest().shards.front();
  const Path file = set() / shard.file;
  ASSERT_TRUE(verify(files_, set()).ok());

  for (const auto [at, mask] : flips(0, shard.bytes, 1000)) {
    flip_byte(file, at, mask);
    const VerifyReport report = verify(files_, set());
    ASSERT_EQ(report.findings.size(), 1U) << at;
    EXPECT_THAT(report.findings[0], HasSubstr(shard.file));
    const std::uint64_t row = at - shard.places[kImages].offset;
    const std::uint64_t bytes =
        GetParam() == Storage::kRaw ? 300 * dataset.shape().bytes() : shard.image_bytes;
    if (at >= shard.places[kImages].offset && row < bytes) {
      EXPECT_THAT(report.findings[0], HasSubstr("of /images"));
    }
    flip_byte(file, at, mask);
  }
}

TEST_P(StoredDatasetTest, gives_the_pixels_and_sums_that_raw_does) {
  const SmallDataset what{.shape = {20, 24, 3}, .samples = {500, 30, 20}, .storage = GetParam()};
  make(what);
  SmallDataset raw_one = what;
  raw_one.storage = Storage::kRaw;
  const Dataset raw = make_small(files_, temporary_.path() / "raw", raw_one);
  const Dataset dataset = Dataset::open(files_, set());
  EXPECT_EQ(dataset.mean(), raw.mean());
  EXPECT_EQ(dataset.stddev(), raw.stddev());
  EXPECT_EQ(dataset.id() == raw.id(), GetParam() != Storage::kEncoded) << "the content is pixels";
  for (const Access access : {Access::kMap, Access::kRead, Access::kDirect}) {
    Reader reader(dataset, Split::kTrain, {.access = access});
    std::vector<std::uint8_t> image(dataset.shape().bytes());
    for (std::uint64_t i = 0; i < 500; ++i) {
      reader.read(std::array{i}, image);
      ASSERT_EQ(reader.id(i), i);
      for (std::size_t at = 0; at < image.size(); ++at) ASSERT_EQ(image[at], pixel_of(i, at)) << i;
    }
    EXPECT_EQ(reader.blocks_verified(), reader.blocks());
  }
}

TEST_P(StoredDatasetTest, a_flip_in_a_shard_is_found_at_first_touch) {
  constexpr std::uint64_t kSamples = 60;  // few, for the sake of ATELIER_FLIPS=all
  make({.samples = {kSamples, 0, 0}, .storage = GetParam()});
  const Dataset dataset = Dataset::open(files_, set());
  const ShardEntry& shard = dataset.manifest().shards.front();
  const std::uint64_t image_bytes =
      GetParam() == Storage::kRaw ? kSamples * dataset.shape().bytes() : shard.image_bytes;
  const auto touch_all = [&](Access access) {
    Reader reader(dataset, Split::kTrain, {.access = access});
    std::vector<std::uint8_t> image(dataset.shape().bytes());
    for (std::uint64_t i = 0; i < reader.size(); ++i) {
      reader.read(std::array{i}, image);
      static_cast<void>(reader.label(i));
      static_cast<void>(reader.id(i));
    }
  };
  for (std::size_t table = 0; table < dataset.manifest().tables.size(); ++table) {
    const std::uint64_t rows = kSamples * dataset.manifest().tables[table].row_bytes();
    const std::uint64_t bytes = table == kImages ? image_bytes : rows;
    for (const auto [at, mask] : flips(shard.places[table].offset, bytes, 150)) {
      flip_byte(set() / shard.file, at, mask);
      const std::array ways{Access::kMap, Access::kRead, Access::kDirect};
      EXPECT_THROW(touch_all(ways.at(at % 3)), DataError) << at;
      flip_byte(set() / shard.file, at, mask);
    }
  }
  touch_all(Access::kMap);
}

TEST_F(DatasetTest, refuses_hostile_manifests_of_packed_images_by_field) {
  make({.storage = Storage::kEncoded});
  const std::vector<std::pair<std::string, std::function<void(nlohmann::ordered_json&)>>> attacks{
      {"storage", [](auto& j) { j["storage"] = "zip"; }},
      {"storage", [](auto& j) { j["fit"] = "squeeze"; }},
      {"filter", [](auto& j) { j.erase("filter"); }},
      {"tables", [](auto& j) { j["storage"] = "raw"; }},
      {"tables", [](auto& j) { j["tables"].erase(3); }},
      {"image_bytes", [](auto& j) { j["shards"][0].erase("image_bytes"); }},
      {"image_bytes", [](auto& j) { j["shards"][0]["image_bytes"] = 0; }},
      {"end behind the file",
       [](auto& j) { j["shards"][0]["image_bytes"] = j["shards"][0]["bytes"]; }},
      {"dataset_id", [](auto& j) { j["fit"] = "pad"; }}};

  for (const auto& [field, attack] : attacks) EXPECT_THAT(error_with(attack), HasSubstr(field));
  EXPECT_EQ(error_with([](auto& j) { j["storage"] = "encoded"; }), "no DataError");
}

// Hashes only say that the bytes are as they were written.
TEST_F(DatasetTest, ends_that_cannot_be_are_refused_though_their_hashes_are_right) {
  make({.samples = {40, 0, 0}, .storage = Storage::kDeflate});
  const ShardEntry shard = Dataset::open(files_, set()).manifest().shards.front();
  const Path file = set() / shard.file;
  std::string bytes = file_content(file);
  const auto numbers = [&](std::uint64_t offset) { return bytes.data() + offset; };
  const std::uint64_t far = ~std::uint64_t{0};
  std::memcpy(numbers(shard.places.back().offset + 7 * sizeof(far)), &far, sizeof(far));
  const std::uint64_t hash =
      xxh3_64(std::string_view(bytes).substr(shard.places.back().offset, 40 * sizeof(far)));
  std::memcpy(numbers(shard.places.back().hash_offset), &hash, sizeof(hash));
  write_file(file, bytes);

  std::vector<std::uint8_t> image(8 * 8 * 3);
  Reader unchecked(Dataset::open(files_, set()), Split::kTrain, {.check = Check::kOff});
  EXPECT_THROW(unchecked.read(std::array<std::uint64_t, 1>{7}, image), DataError);
  EXPECT_THROW(unchecked.read(std::array<std::uint64_t, 1>{8}, image), DataError);
  unchecked.read(std::array<std::uint64_t, 1>{9}, image);
  EXPECT_THAT(verify(files_, set()).findings.front(), HasSubstr("do not follow one another"));
}

TEST_F(DatasetTest, blocks_of_large_files_have_fewer_rows) {
  make({.shape = {8, 8, 3}, .samples = {40, 0, 0}, .storage = Storage::kEncoded});
  EXPECT_EQ(Dataset::open(files_, set()).manifest().tables[kImages].block_rows(), 4096U);
  StagingFolder staging(files_, temporary_.path() / "large");
  DatasetPlan plan;
  plan.shape = {8, 8, 3};
  plan.class_names = {"a"};
  plan.samples = {40, 0, 0};
  plan.packing.storage = Storage::kEncoded;
  plan.image_bytes = 300000;  // as if the files were photographs
  const std::string png = encode_png(plan.shape, std::vector<std::uint8_t>(8 * 8 * 3, 9));
  write_dataset(files_, SystemClock(), staging, plan, [&](const RowBlock& block) {
    EXPECT_LE(block.count, 2U);
    for (std::uint64_t i = 0; i < block.count; ++i) {
      const auto bytes = std::as_bytes(std::span(png));
      block.files[i].assign(bytes.begin(), bytes.end());
      const std::uint64_t id = block.first + i;
      std::memset(&block.tables[kLabels][i * 8], 0, 8);
      std::memcpy(&block.tables[kIds][i * 8], &id, 8);
    }
  });
  staging.publish();
  const Dataset large = Dataset::open(files_, temporary_.path() / "large");
  EXPECT_EQ(large.manifest().tables[kImages].block_rows(), 2U);
  EXPECT_EQ(Reader(large, Split::kTrain).blocks(), 20U);
  EXPECT_TRUE(verify(files_, temporary_.path() / "large").ok());
}

TEST_F(DatasetTest, verify_lists_all_damage) {
  make({.shape = {64, 64, 3}, .samples = {200, 20, 20}, .shard_bytes = 8U << 20U});
  const Dataset dataset = Dataset::open(files_, set());
  const ShardEntry& first = dataset.manifest().shards[0];
  flip_byte(set() / first.file, first.places[kImages].offset);
  flip_byte(set() / first.file, first.places[kImages].offset + 70 * 64 * 64 * 3);
  flip_byte(set() / first.file, first.places[kIds].offset + 3);
  std::filesystem::remove(set() / "test-00000-of-00001.h5");
  std::filesystem::resize_file(set() / "valid-00000-of-00001.h5", 100);
  write_file(set() / "stray.h5", "?");

  const auto findings = verify(files_, set()).findings;

  EXPECT_EQ(findings.size(), 6U) << testing::PrintToString(findings);
}

TEST_F(DatasetTest, verify_finds_a_shard_of_another_dataset) {
  make();
  make_small(files_, temporary_.path() / "other", {.samples = {100, 20, 10}});
  std::filesystem::copy_file(temporary_.path() / "other/train-00000-of-00001.h5",
                             set() / "train-00000-of-00001.h5",
                             std::filesystem::copy_options::overwrite_existing);

  EXPECT_TRUE(verify(files_, set()).ok()) << "equal content is the same shard";

  std::filesystem::copy_file(temporary_.path() / "other/test-00000-of-00001.h5",
                             set() / "valid-00000-of-00001.h5",
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_FALSE(verify(files_, set()).ok());
}

// Every single call of the file system fails in turn: the target appears whole or not at all.
TEST_F(DatasetTest, a_failure_at_any_call_leaves_nothing_and_the_next_try_works) {
  test::FaultyFileSystem faulty(files_);
  const SmallDataset one_shard{.samples = {20, 0, 0}};
  make_small(faulty, set(), one_shard);
  const std::size_t calls = faulty.calls();
  const std::string id = Dataset::open(files_, set()).id();

  for (std::size_t n = 1; n <= calls; ++n) {
    for (const bool crash : {false, true}) {
      std::filesystem::remove_all(set());
      faulty.reset();
      faulty.fail_at(n, {.error = ENOSPC, .torn = true, .crash = crash});
      try {
        make_small(faulty, set(), one_shard);
      } catch (const Error&) {
      }
      if (std::filesystem::exists(set())) {
        EXPECT_TRUE(verify(files_, set()).ok()) << n;
      } else {
        EXPECT_EQ(make_small(files_, set(), one_shard).id(), id) << n;
      }
    }
  }
}

TEST_F(DatasetTest, two_writers_of_one_target_exclude_each_other) {
  const StagingFolder first(files_, set());

  EXPECT_THROW(StagingFolder(files_, set()), OutputError);
}

TEST_F(DatasetTest, an_abandoned_writer_leaves_nothing) {
  { const StagingFolder writer(files_, set()); }

  EXPECT_TRUE(std::filesystem::is_empty(temporary_.path()));
}

TEST_F(DatasetTest, refuses_labels_without_a_class) {
  StagingFolder staging(files_, set());
  DatasetPlan plan;
  plan.shape = {4, 4, 1};
  plan.class_names = {"only"};
  plan.samples = {1, 0, 0};

  EXPECT_THROW(write_dataset(files_, SystemClock(), staging, plan,
                             [](const RowBlock& block) {
                               std::fill(block.tables[kLabels].begin(), block.tables[kLabels].end(),
                                         std::byte{1});
                             }),
               DataError);
}

TEST_F(DatasetTest, describes_itself_in_words_and_json) {
  make();
  const Dataset dataset = Dataset::open(files_, set());

  EXPECT_THAT(describe(dataset), HasSubstr("train    100\n"));
  EXPECT_THAT(describe(dataset), HasSubstr("id       " + dataset.id()));
  EXPECT_EQ(describe_json(dataset)["splits"]["valid"]["num_samples"], 10);
}

}  // namespace
}  // namespace atelier::data

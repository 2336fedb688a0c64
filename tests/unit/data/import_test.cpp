#include "data/import/import.h"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include <archive.h>
#include <archive_entry.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/import/class_folders.h"
#include "data/reader.h"
#include "data/verify.h"
#include "launch/base/error.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/data/damage.h"
#include "tests/unit/data/test_images.h"

namespace atelier::data {
namespace {

using testing::HasSubstr;

void write_zip(const Path& file, const std::vector<std::pair<std::string, std::string>>& entries) {
  archive* zip = archive_write_new();
  archive_write_set_format_zip(zip);
  archive_write_open_filename(zip, file.c_str());
  for (const auto& [name, content] : entries) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, name.c_str());
    archive_entry_set_size(entry, static_cast<la_int64_t>(content.size()));
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_write_header(zip, entry);
    archive_write_data(zip, content.data(), content.size());
    archive_entry_free(entry);
  }
  archive_write_close(zip);
  archive_write_free(zip);
}

std::string picture_file(unsigned seed, const ImageShape& shape = {8, 8, 3}) {
  const Image image = test_picture(shape, seed);
  return encode_png(shape, image.pixels);
}

class ImportTest : public testing::Test {
 protected:
  ImportReport import(ImportOptions options = {}) {
    if (options.source.empty()) options.source = source_;
    options.out = out_;
    return import_images(files_, SystemClock(), options);
  }
  void add(const std::string& name, const std::string& content) {
    write_file(source_ / name, content);
  }
  std::string import_error(const ImportOptions& options = {}) {
    try {
      import(options);
    } catch (const DataError& error) {
      EXPECT_FALSE(std::filesystem::exists(out_));
      return error.what();
    }
    return "no DataError";
  }
  Dataset open() { return Dataset::open(files_, out_); }

  LocalFileSystem files_;
  test::TemporaryFolder temporary_;
  Path source_ = temporary_.path() / "photos";
  Path out_ = temporary_.path() / "set";
};

TEST_F(ImportTest, keeps_splits_and_takes_folders_as_classes) {
  for (unsigned i = 0; i < 30; ++i)
    add("train/" + std::string(i % 3 == 0 ? "cat" : "dog") + "/" + std::to_string(i) + ".png",
        picture_file(i));
  add("val/cat/1.png", picture_file(40));
  add("test/emu/1.png", picture_file(41));

  const ImportReport report = import();

  EXPECT_EQ(report.imported, 32U);
  EXPECT_EQ(open().class_names(), (std::vector<std::string>{"cat", "dog", "emu"}));
  EXPECT_EQ(open().size(Split::kTrain), 30U);
  EXPECT_EQ(open().size(Split::kValid), 1U);
  EXPECT_EQ(open().manifest().splits[0].class_counts, (std::vector<std::uint64_t>{10, 20, 0}));
  EXPECT_FALSE(open().manifest().valid_from_train);
  EXPECT_TRUE(verify(files_, out_).ok());
}

TEST_F(ImportTest, without_a_validation_split_cuts_one_from_train) {
  for (unsigned i = 0; i < 200; ++i) add("a/" + std::to_string(i) + ".png", picture_file(i));

  import();

  EXPECT_TRUE(open().manifest().valid_from_train);
  EXPECT_EQ(open().size(Split::kTrain) + open().size(Split::kValid), 200U);
  Reader valid(open(), Split::kValid);
  ASSERT_GT(valid.size(), 0U);
  for (std::uint64_t i = 0; i < valid.size(); ++i) EXPECT_TRUE(held_out(valid.id(i)));
}

TEST_F(ImportTest, a_single_image_is_a_dataset) {
  add("only.png", picture_file(1));

  import();

  EXPECT_EQ(open().size(Split::kTrain), 1U);
}

TEST_F(ImportTest, reads_a_zip_with_hostile_names_without_leaving_its_place) {
  const Path zip = temporary_.path() / "photos.zip";
  write_zip(zip, {{"../../../evil/cat/1.png", picture_file(1)},
                  {"/abs/cat/2.png", picture_file(2)},
                  {"__MACOSX/cat/._3.png", "junk"},
                  {"cat/.DS_Store", "junk"},
                  {"cat/4.png", picture_file(4)},
                  {"cat/4.png", picture_file(5)},
                  {"labels.txt", "cat"}});

  const ImportReport report = import({.source = zip});

  EXPECT_EQ(report.imported, 3U);
  EXPECT_EQ(report.hidden, 2U);
  ASSERT_EQ(report.skipped.size(), 2U);
  EXPECT_EQ(report.skipped[0].reason, "the name is there twice");
  EXPECT_EQ(report.skipped[1].name, "labels.txt");
  EXPECT_EQ(open().class_names(), (std::vector<std::string>{"abs", "cat", "evil"}));
  std::vector<std::string> left;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(temporary_.path()))
    left.push_back(entry.path().filename().string());
  EXPECT_THAT(left,
              testing::UnorderedElementsAre("photos.zip", "set", "manifest.json",
                                            "train-00000-of-00001.h5", "valid-00000-of-00001.h5"));
  EXPECT_EQ(open().size(Split::kTrain), 1U);
  EXPECT_EQ(open().size(Split::kValid), 2U) << "even of three images the indicators need a pair";
}

TEST_F(ImportTest, a_damaged_archive_is_named) {
  const Path zip = temporary_.path() / "photos.zip";
  write_file(zip, "PK\x03\x04 this is no zip");
  EXPECT_THAT(import_error({.source = zip}), HasSubstr("photos.zip"));
  write_file(zip, "");
  EXPECT_THAT(import_error({.source = zip}), HasSubstr("photos.zip"));
  EXPECT_THAT(import_error({.source = temporary_.path() / "none"}), HasSubstr("none"));
}

TEST_F(ImportTest, the_first_bad_file_stops_it_by_name_or_is_skipped_and_listed) {
  for (unsigned i = 0; i < 300; ++i) add("a/" + std::to_string(1000 + i) + ".png", picture_file(i));
  add("a/1100.png", "");
  add("a/1200.png", picture_file(1).substr(0, 60));
  add("a/1250.jpg", "no image at all");

  for (const int threads : {1, 2, 4})
    EXPECT_THAT(import_error({.threads = threads}),
                HasSubstr("Cannot import 'a/1100.png': it is empty."));
  const ImportReport report = import({.on_error = OnError::kSkip});

  EXPECT_EQ(report.imported, 298U);
  ASSERT_EQ(report.skipped.size(), 3U);
  EXPECT_EQ(report.skipped[0].name, "a/1100.png");
  EXPECT_THAT(report.skipped[1].reason, HasSubstr("too early"));
  EXPECT_THAT(report.skipped[2].reason, HasSubstr("no JPEG, PNG or WebP"));
}

TEST_F(ImportTest, sizes_must_agree_unless_one_is_given) {
  add("a/1.png", picture_file(1));
  add("a/2.png", picture_file(2));
  add("a/3.png", picture_file(3, {20, 12, 3}));

  EXPECT_THAT(import_error(), HasSubstr("'a/3.png': it has 12 x 20 pixels, 'a/1.png' has 8 x 8"));
  import({.size = ImageSize { 16, 16 }});

  EXPECT_EQ(open().shape(), (ImageShape{16, 16, 3}));
}

TEST_F(ImportTest, a_first_image_of_odd_size_does_not_drop_all_others) {
  add("a/1.png", picture_file(1, {9, 9, 3}));
  for (unsigned i = 2; i < 9; ++i) add("a/" + std::to_string(i) + ".png", picture_file(i));

  EXPECT_THAT(import_error({.on_error = OnError::kSkip}), HasSubstr("Most images"));
}

TEST_F(ImportTest, channels_follow_the_majority_or_the_wish) {
  add("a/1.png", picture_file(1, {8, 8, 1}));
  add("a/2.png", picture_file(2, {8, 8, 1}));
  add("a/3.png", picture_file(3, {8, 8, 3}));

  import();
  EXPECT_EQ(open().shape().channels, 1);
  std::filesystem::remove_all(out_);
  import({.channels = 3});
  EXPECT_EQ(open().shape().channels, 3);
  EXPECT_THROW(import({.channels = 2}), ConfigError);
}

TEST_F(ImportTest, the_bytes_do_not_depend_on_the_number_of_threads) {
  for (unsigned i = 0; i < 500; ++i) add("a/" + std::to_string(i) + ".png", picture_file(i));
  std::map<int, std::string> shards;

  for (const int threads : {1, 2, 5}) {
    std::filesystem::remove_all(out_);
    import({.threads = threads});
    shards[threads] = file_content(out_ / "train-00000-of-00001.h5");
  }

  EXPECT_EQ(shards[1], shards[2]);
  EXPECT_EQ(shards[1], shards[5]);
}

TEST_F(ImportTest, shuffles_by_its_seed_and_not_at_all_on_wish) {
  for (unsigned i = 0; i < 100; ++i) add("a/" + std::to_string(1000 + i) + ".png", picture_file(i));
  const auto ids = [&](const ImportOptions& options) {
    std::filesystem::remove_all(out_);
    import(options);
    Reader reader(open(), Split::kTrain);
    std::vector<std::uint64_t> out;
    for (std::uint64_t i = 0; i < reader.size(); ++i) out.push_back(reader.id(i));
    return out;
  };

  const auto sorted = ids({.shuffle = false});
  EXPECT_TRUE(std::is_sorted(sorted.begin(), sorted.end()));
  EXPECT_NE(ids({.shuffle_seed = 1}), ids({.shuffle_seed = 2}));
  EXPECT_EQ(ids({.shuffle_seed = 1}), ids({.shuffle_seed = 1}));
}

TEST_F(ImportTest, refuses_an_existing_target_and_an_empty_source) {
  std::filesystem::create_directories(source_);
  EXPECT_THAT(import_error(), HasSubstr("There is no image in"));
  add("test/a/1.png", picture_file(1));
  EXPECT_THAT(import_error(), HasSubstr("without training images"));
  add("train/a/1.png", picture_file(1));
  add("train/a/2.gif", "RIFF");
  EXPECT_THAT(import_error(), HasSubstr("only JPEG, PNG and WebP are read"));
  std::filesystem::create_directories(out_);
  EXPECT_THROW(import(), OutputError);
}

TEST_F(ImportTest, reports_its_progress) {
  for (unsigned i = 0; i < 600; ++i) add("a/" + std::to_string(i) + ".png", picture_file(i));
  std::vector<std::string> seen;

  import({.progress = [&](const ImportProgress& p) {
    EXPECT_LE(p.done, p.total);
  seen.push_back(std::string(p.phase) + " " + std::to_string(p.done));
}
}  // namespace
);

EXPECT_THAT(seen, testing::Contains("decode 512"));
EXPECT_EQ(seen.back(), "write 600");
}  // namespace atelier::data

TEST(Places, wrapping_folders_and_loose_files) {
  const auto places = [](const std::vector<std::string>& names) {
    std::string out;
    for (const PlacedName& place : place_names(names))
      out += place.problem.empty()
                 ? std::string(split_name(place.split)) + ":" + place.class_name + " "
                 : "? ";
    return out;
  };

  EXPECT_EQ(places({"1.png", "2.png"}), "train:images train:images ");
  EXPECT_EQ(places({"cat/1.png", "cat/2.png"}), "train:cat train:cat ");
  EXPECT_EQ(places({"zip/cat/1.png", "zip/dog/2.png"}), "train:cat train:dog ");
  EXPECT_EQ(places({"zip/Train/cat/x/1.png", "zip/VAL/cat/2.png"}), "train:cat valid:cat ");
  EXPECT_EQ(places({"train/1.png", "test/2.png", "3.png"}), "train:images test:images ? ");
  EXPECT_EQ(places({"train/cat/1.png"}), "train:cat ");
  EXPECT_EQ(places({}), "");
}

TEST(Names, are_made_valid_text) {
  EXPECT_EQ(clean_text("caf\xC3\xA9"), "caf\xC3\xA9");
  EXPECT_EQ(clean_text("caf\xE9"), "caf?");
  EXPECT_EQ(clean_text("a\nb\xED\xA0\x80"), "a?b???");
  EXPECT_EQ(clean_text("\xF0\x9F\x90\xB1 \xC0\x80"), "\xF0\x9F\x90\xB1 ??");
}

}  // namespace
}  // namespace atelier::data

// The real reader is asked in tests/golden/monitoring; here are the parts it cannot show.
#include "monitoring/tensorboard.h"

#include <cstring>

#include <gtest/gtest.h>

#include "launch/base/error.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/monitoring/recording_log.h"

namespace atelier::monitoring {
namespace {

TEST(Crc32c, matches_rfc_3720) {
  std::string ascending(32, '\0');
  for (std::size_t i = 0; i < 32; ++i) ascending[i] = static_cast<char>(i);

  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAU);
  EXPECT_EQ(crc32c(std::string(32, '\xFF')), 0x62A8AB43U);
  EXPECT_EQ(crc32c(ascending), 0x46DD794EU);
  EXPECT_EQ(crc32c("123456789"), 0xE3069283U);
}

TEST(TfRecord, frames_length_and_data) {
  const std::string record = tfrecord("abc");

  ASSERT_EQ(record.size(), 8U + 4 + 3 + 4);
  EXPECT_EQ(record.substr(0, 8), std::string("\3\0\0\0\0\0\0\0", 8));
  EXPECT_EQ(record.substr(12, 3), "abc");
  std::uint32_t stored = 0;
  std::memcpy(&stored, record.data() + 15, 4);
  const std::uint32_t crc = crc32c("abc");
  EXPECT_EQ(stored, ((crc >> 15) | (crc << 17)) + 0xa282ead8U);
}

TEST(EventWriter, flushes_each_group) {
  const test::TemporaryFolder folder;
  const test::FakeClock clock;
  test::RecordingLog log;
  EventWriter writer(folder.path(), 0, clock, log);
  const auto before = std::filesystem::file_size(writer.path());

  writer.scalars(
      {1,
       1.7e9,
       {{std::make_shared<const SeriesName>("atelier_epoch", std::vector<Label>{}), 0.5}}});

  EXPECT_GT(std::filesystem::file_size(writer.path()), before);
  EXPECT_NE(writer.path().find("events.out.tfevents.1700000000."), std::string::npos);
}

TEST(EventWriter, missing_folder_is_an_io_error) {
  const test::FakeClock clock;
  test::RecordingLog log;

  EXPECT_THROW(EventWriter("/no/such/folder", 0, clock, log), IoError);
}

}  // namespace
}  // namespace atelier::monitoring

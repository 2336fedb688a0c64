#include "monitoring/tensorboard.h"

#include <array>
#include <bit>
#include <climits>

#include <unistd.h>

#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::monitoring {
namespace {

template <typename Integer>
std::string little_endian(Integer value) {
  std::string out;
  for (std::size_t i = 0; i < sizeof(value); ++i) {
    out += static_cast<char>(static_cast<unsigned char>(value >> (8 * i)));
  }
  return out;
}

/// Protocol buffer fields (protobuf.dev/programming-guides/encoding).
void varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}
void integer_field(std::string& out, unsigned number, std::int64_t value) {
  varint(out, number << 3);
  varint(out, static_cast<std::uint64_t>(value));
}
void bytes_field(std::string& out, unsigned number, std::string_view value) {
  varint(out, number << 3 | 2);
  varint(out, value.size());
  out += value;
}
void double_field(std::string& out, unsigned number, double value) {
  varint(out, number << 3 | 1);
  out += little_endian(std::bit_cast<std::uint64_t>(value));
}
void float_field(std::string& out, unsigned number, float value) {
  varint(out, number << 3 | 5);
  out += little_endian(std::bit_cast<std::uint32_t>(value));
}

/// Field numbers of Event, Summary.Value and Summary.Image.
namespace event {
constexpr unsigned kWallTime = 1, kStep = 2, kFileVersion = 3, kSummary = 5, kSessionLog = 7;
}
namespace summary {
constexpr unsigned kValue = 1, kTag = 1, kSimpleValue = 2, kImage = 4;
constexpr unsigned kHeight = 1, kWidth = 2, kColorspace = 3, kEncoded = 4;
}  // namespace summary
namespace session_log {
constexpr unsigned kStatus = 1;
constexpr int kStart = 1;
}  // namespace session_log

std::string event_head(double unix_seconds, std::int64_t step) {
  std::string out;
  double_field(out, event::kWallTime, unix_seconds);
  integer_field(out, event::kStep, step);
  return out;
}

std::uint32_t masked(std::uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xa282ead8U; }

constexpr std::array<std::uint32_t, 256> crc_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78U : 0);
    table[i] = crc;
  }
  return table;
}

std::string hostname() {
  std::array<char, HOST_NAME_MAX + 1> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "localhost";
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  static constexpr auto kTable = crc_table();
  std::uint32_t crc = ~0U;
  for (const char c : bytes)
    crc = (crc >> 8) ^ kTable[(crc ^ static_cast<unsigned char>(c)) & 0xFF];
  return ~crc;
}

std::string tfrecord(std::string_view data) {
  const std::string length = little_endian(static_cast<std::uint64_t>(data.size()));
  std::string out = length + little_endian(masked(crc32c(length)));
  out += data;
  return out + little_endian(masked(crc32c(data)));
}

EventWriter::EventWriter(const Path& folder, std::int64_t first_step, const Clock& clock, Log& log)
    : clock_(clock), log_(log) {
  const double now = clock.unix_seconds();
  // The name must contain "tfevents", and sort after those of earlier attempts.
  path_ = (folder / text("events.out.tfevents.", fixed(now, 6), ".", hostname(), ".", getpid()))
              .string();
  file_.open(path_, std::ios::binary | std::ios::app);
  std::string version = event_head(now, 0);
  bytes_field(version, event::kFileVersion, "brain.Event:2");
  std::string status;
  integer_field(status, session_log::kStatus, session_log::kStart);
  std::string start = event_head(now, first_step);
  bytes_field(start, event::kSessionLog, status);
  file_ << tfrecord(version) << tfrecord(start) << std::flush;
  if (!file_) {
    throw IoError(text("Cannot create the event file '", path_, "'."),
                  "Check the folder and its free space.");
  }
}

void EventWriter::scalars(const Snapshot& snapshot) {
  std::string values;
  for (const Sample& sample : snapshot.samples) {
    std::string value;
    bytes_field(value, summary::kTag, sample.series->tag);
    float_field(value, summary::kSimpleValue, static_cast<float>(sample.value));
    bytes_field(values, summary::kValue, value);
  }
  std::string out = event_head(snapshot.unix_seconds, snapshot.step);
  bytes_field(out, event::kSummary, values);
  write(out);
}

void EventWriter::image(std::int64_t step, const EventImage& image) {
  std::string picture;
  integer_field(picture, summary::kHeight, image.height);
  integer_field(picture, summary::kWidth, image.width);
  integer_field(picture, summary::kColorspace, image.channels);
  bytes_field(picture, summary::kEncoded, image.png);
  std::string value;
  bytes_field(value, summary::kTag, image.tag);
  bytes_field(value, summary::kImage, picture);
  std::string values;
  bytes_field(values, summary::kValue, value);
  std::string out = event_head(clock_.unix_seconds(), step);
  bytes_field(out, event::kSummary, values);
  write(out);
}

void EventWriter::write(std::string_view event) {
  if (failed_) return;  // a reader stops at a torn record: what follows would be lost anyway
  file_ << tfrecord(event) << std::flush;
  if (!file_) {
    failed_ = true;
    log_.warn(text("Cannot write to the event file '", path_,
                   "': TensorBoard shows this attempt up to here. Training goes on."));
  }
}

}  // namespace atelier::monitoring

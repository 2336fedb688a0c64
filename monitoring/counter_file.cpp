#include "monitoring/counter_file.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::monitoring {
namespace {

constexpr std::array<char, 8> kMagic{'A', 'T', 'L', 'C', 'N', 'T', '0', '1'};

// A process is killed between two stores, never inside of one of eight bytes. The first record
// holds no counter: its name is the magic, its number says how many counters follow.
struct Record {
  std::array<char, 248> name{};  ///< ends with a zero
  std::uint64_t number = 0;      ///< a counter's value: the bits of a double
};
static_assert(sizeof(Record) == 256);

void store(std::uint64_t& to, std::uint64_t number) {
  std::atomic_ref(to).store(number, std::memory_order_release);
}

/// Stores the values of as many counters as there is room for. Returns how many there are.
std::size_t fill(std::span<Record> records, const Metrics& metrics) {
  std::uint64_t& named = records.front().number;
  std::size_t seen = 0;
  metrics.visit_counters([&](std::string_view name, double value) {
    if (++seen >= records.size()) return;
    Record& record = records[seen];
    if (seen > named && name.size() < record.name.size()) {
      std::copy(name.begin(), name.end(), record.name.begin());
    }
    store(record.number, std::bit_cast<std::uint64_t>(value));
    if (seen > named) store(named, seen);
  });
  return seen;
}

std::span<Record> records_of(const MappedFile& file) {
  return {reinterpret_cast<Record*>(file.bytes().data()), file.bytes().size() / sizeof(Record)};
}

}  // namespace

void CounterFile::write(const Metrics& metrics) {
  if (given_up_) return;
  const std::size_t room = file_ ? records_of(*file_).size() : 0;
  Record none;
  const std::size_t counters = fill(file_ ? records_of(*file_) : std::span(&none, 1), metrics);
  if (counters >= room) make(metrics, counters);
}

void CounterFile::make(const Metrics& metrics, std::size_t counters) {
  std::vector<Record> records(1 + 2 * counters);
  std::copy(kMagic.begin(), kMagic.end(), records.front().name.begin());
  static_cast<void>(fill(records, metrics));
  try {
    file_ = std::make_unique<MappedFile>(path_, std::as_bytes(std::span(records)));
  } catch (const IoError& error) {
    give_up(error.what());
  }
}

void CounterFile::sync() {
  if (!file_) return;
  try {
    file_->sync();
  } catch (const IoError& error) {
    give_up(error.what());
  }
}

void CounterFile::give_up(const std::string& why) {
  log_.warn(text("The counters' file is not kept: ", why,
                 " Training goes on; after a crash counters may restart lower."));
  given_up_ = true;
  file_.reset();
}

std::map<std::string, double> read_counters(FileSystem& files, const Path& path) {
  if (!files.exists(path)) return {};
  const std::string content = files.read(path);
  std::vector<Record> records(content.size() / sizeof(Record));
  if (records.empty()) return {};
  std::memcpy(records.data(), content.data(), records.size() * sizeof(Record));
  if (std::memcmp(records[0].name.data(), kMagic.data(), kMagic.size()) != 0) {
    return {};
  }
  std::map<std::string, double> counters;
  const std::uint64_t last = std::min<std::uint64_t>(records[0].number, records.size() - 1);
  for (std::uint64_t i = 1; i <= last; ++i) {
    const auto& name = records[i].name;
    const auto value = std::bit_cast<double>(records[i].number);
    const auto end = std::find(name.begin(), name.end(), '\0');
    if (end == name.begin() || end == name.end() || !std::isfinite(value)) continue;
    counters[std::string(name.begin(), end)] = value;
  }
  return counters;
}

}  // namespace atelier::monitoring

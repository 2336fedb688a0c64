#include "launch/comm/flight_recorder.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <type_traits>

#include <unistd.h>

#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::comm {
namespace {

constexpr std::array<char, 8> kMagic{'A', 'T', 'L', 'R', 'E', 'C', '0', '2'};
constexpr std::size_t kPhaseBytes = 32;

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

double to_seconds(std::int64_t ns) { return static_cast<double>(ns) * 1e-9; }

struct Entry {
  CallRecord call;
  std::int64_t entered_ns = 0;
  std::int64_t left_ns = 0;
  [[nodiscard]] bool is_open() const { return call.sequence > 0 && left_ns == 0; }
};

std::string ago(double then, double now) { return text(fixed(std::max(0.0, now - then), 1), " s"); }

// The oldest call that has not ended: what the rank waits in, or its device.
const RecordedCall* open_call(const RankTrace& trace) {
  const auto found = std::find_if(trace.calls.begin(), trace.calls.end(),
                                  [](const RecordedCall& call) { return call.left == 0; });
  return found != trace.calls.end() ? &*found : nullptr;
}

std::string line_of(const RankTrace& trace, double now) {
  const std::string phase = text("at ", trace.phase, " since ", ago(trace.phase_since, now));
  if (trace.calls.empty()) return text("rank ", trace.rank, ": no call yet, ", phase);
  const RecordedCall* const open = open_call(trace);
  const RecordedCall& last = open != nullptr ? *open : trace.calls.back();
  return text("rank ", trace.rank, ": ", last.left > 0 ? "left " : "in ", describe(last.call),
              last.left > 0 ? text(", ", ago(last.left, now), " ago")
                            : text(", since ", ago(last.entered, now)),
              ", ", phase);
}

std::uint64_t last_sequence(const RankTrace& trace) {
  return trace.calls.empty() ? 0 : trace.calls.back().call.sequence;
}

}  // namespace

// Read by the program that wrote it, on machines of one kind: byte for byte what stands in memory.
struct RecorderFile {
  std::array<char, 8> magic = kMagic;
  std::uint64_t bytes = sizeof(RecorderFile);
  std::int32_t rank = 0;
  std::int32_t world = 1;
  std::int64_t process = 0;
  std::array<char, kPhaseBytes> phase{};
  std::int64_t phase_since_ns = 0;
  Entry survivor{};           ///< has not ended, but had to make room
  std::uint64_t entered = 0;  ///< calls so far; the newest is at (entered - 1) % kCalls
  std::array<Entry, FlightRecorder::kCalls> calls{};
};

FlightRecorder::FlightRecorder(int rank, int world) : memory_(std::make_unique<RecorderFile>()) {
  static_assert(std::is_trivially_copyable_v<RecorderFile>);
  content_ = memory_.get();
  content_->rank = rank;
  content_->world = world;
  content_->process = ::getpid();
  set_phase("start");
}

FlightRecorder::~FlightRecorder() = default;

void FlightRecorder::open_file(const Path& path) {
  const std::scoped_lock lock(mutex_);
  file_ = std::make_unique<MappedFile>(path, std::as_bytes(std::span(content_, 1)));
  content_ = reinterpret_cast<RecorderFile*>(file_->bytes().data());
}

void FlightRecorder::enter(const CallRecord& call) noexcept {
  const std::scoped_lock lock(mutex_);
  Entry& entry = content_->calls[content_->entered % kCalls];
  if (entry.is_open() && !content_->survivor.is_open()) content_->survivor = entry;
  entry.call = call;
  entry.entered_ns = now_ns();
  entry.left_ns = 0;
  std::atomic_ref(content_->entered).fetch_add(1, std::memory_order_release);
  sign();
}

void FlightRecorder::leave() noexcept {
  const std::scoped_lock lock(mutex_);
  if (content_->entered == 0) return;
  content_->calls[(content_->entered - 1) % kCalls].left_ns = now_ns();
  sign();
}

void FlightRecorder::leave(std::uint64_t sequence) noexcept {
  const std::scoped_lock lock(mutex_);
  const std::uint64_t kept = std::min<std::uint64_t>(content_->entered, kCalls);
  Entry* entry = &content_->survivor;
  for (std::uint64_t back = 1; back <= kept && entry->call.sequence != sequence; ++back) {
    entry = &content_->calls[(content_->entered - back) % kCalls];
  }
  if (entry->call.sequence == sequence) entry->left_ns = now_ns();
  sign();
}

void FlightRecorder::set_phase(std::string_view phase) noexcept {
  const std::size_t length = std::min(phase.size(), kPhaseBytes - 1);
  std::copy_n(phase.begin(), length, content_->phase.begin());
  content_->phase[length] = '\0';
  content_->phase_since_ns = now_ns();
  sign();
}

RankTrace read_trace(FileSystem& files, const Path& path) {
  RecorderFile file;
  const std::string bytes = files.read(path);
  if (bytes.size() == sizeof(file)) std::memcpy(&file, bytes.data(), sizeof(file));
  if (bytes.size() != sizeof(file) || file.magic != kMagic || file.bytes != sizeof(file)) {
    throw DataError(text("'", path.string(), "' is no recorder's file of this program."),
                    "Read it with the program that wrote it.");
  }
  file.phase.back() = '\0';
  RankTrace trace{.rank = file.rank,
                  .world = file.world,
                  .process = file.process,
                  .phase = file.phase.data(),
                  .phase_since = to_seconds(file.phase_since_ns),
                  .calls = {}};
  const auto add = [&trace](Entry& entry) {
    entry.call.label.back() = '\0';
    trace.calls.push_back({.call = entry.call,
                           .entered = to_seconds(entry.entered_ns),
                           .left = to_seconds(entry.left_ns)});
  };
  if (file.survivor.is_open()) add(file.survivor);
  const std::uint64_t kept = std::min<std::uint64_t>(file.entered, FlightRecorder::kCalls);
  for (std::uint64_t i = file.entered - kept; i < file.entered; ++i) {
    add(file.calls.at(i % FlightRecorder::kCalls));
  }
  return trace;
}

std::string explain(std::span<const RankTrace> traces, double now) {
  std::string out;
  const RecordedCall* furthest = nullptr;
  int world = 0;
  for (const RankTrace& trace : traces) {
    out += line_of(trace, now) + "\n";
    const RecordedCall* const open = open_call(trace);
    if (open == nullptr) continue;
    if (furthest == nullptr || open->call.sequence > furthest->call.sequence) furthest = open;
    world = trace.world;
  }
  if (furthest == nullptr) return out + "No rank is inside a call.\n";
  std::vector<int> missing;
  for (int rank = 0; rank < world; ++rank) {
    const auto found = std::find_if(traces.begin(), traces.end(),
                                    [&](const RankTrace& trace) { return trace.rank == rank; });
    if (found == traces.end() || last_sequence(*found) < furthest->call.sequence) {
      missing.push_back(rank);
    }
  }
  const std::string call = describe(furthest->call);
  if (missing.empty()) return text(out, "All ranks have entered ", call, ".\n");
  return text(out, "Waited for: ", name_ranks(missing), ", in ", call, ".\n");
}

}  // namespace atelier::comm

#include "trainer/loop/data_watch.h"

#include "launch/base/text.h"

namespace atelier::loop {
namespace {

constexpr double kBusy = 0.7;  // of a thread's time

}  // namespace

std::optional<std::string> DataWatch::after_step(double now, const data::LoaderStats& stats) {
  if (++steps_ > 0 && steps_ < kSteps) return std::nullopt;
  std::optional<std::string> found;
  const double took = now - first_;
  const double waited = stats.wait_seconds - before_.wait_seconds;
  const bool quiet = said_ && now - *said_ < kQuiet;
  if (steps_ == kSteps && waited > kMostWait * took && !quiet) {
    said_ = now;
    found = text("Training waits for data: ", fixed(100 * waited / took, 0), " % of the last ",
                 kSteps, " steps. ", slow_stage(took, stats));
  }
  steps_ = 0;
  first_ = now;
  before_ = stats;
  return found;
}

std::string DataWatch::slow_stage(double took, const data::LoaderStats& stats) const {
  const double planning = (stats.planner_cpu_seconds - before_.planner_cpu_seconds) / took;
  const double reading = (stats.reader_cpu_seconds - before_.reader_cpu_seconds) / took;
  if (planning > kBusy) return "Planning keeps up no longer: its thread is busy all the time.";
  const double unpacking = (stats.unpack_cpu_seconds - before_.unpack_cpu_seconds) / took;
  if (reading > kBusy * readers_ && unpacking > reading / 2) {
    return text("Unpacking images keeps ", fixed(readers_, 0),
                " reader threads busy; raise data.readers if there are cores to spare, or store "
                "the images raw.");
  }
  if (reading > kBusy * readers_) {
    return text("Copying and checking images keeps ", fixed(readers_, 0),
                " reader threads busy; raise data.readers if there are cores to spare.");
  }
  const auto bytes = static_cast<double>(stats.bytes_read - before_.bytes_read);
  return text("Its readers wait for the storage (",
              human_bytes(static_cast<std::uint64_t>(bytes / took)),
              "/s came) or for a core; data.order = \"block\" reads neighbours together, and "
              "data.readers asks for more at once.");
}

}  // namespace atelier::loop

// The folders of a job: can every rank use them, what are they on, how fast are the disks?
#include <algorithm>
#include <set>

#include "launch/base/text.h"
#include "launch/doctor/verdicts.h"

namespace atelier::doctor {
namespace {

constexpr double kSlowReadBytesPerSecond = 1e8;
constexpr double kSlowWriteBytesPerSecond = 5e7;
constexpr std::uint64_t kLeastTimedBytes = std::uint64_t{4} << 20U;  // fewer say nothing
constexpr std::uint64_t kLittleRoom = std::uint64_t{2} << 30U;
constexpr std::uint64_t kNoRoom = std::uint64_t{64} << 20U;

// One folder as all ranks see it that can use it.
struct SharedView {
  std::vector<int> ranks;
  std::set<std::string> kinds;
  std::uint64_t free_bytes = 0;
  double read_speed = 0;   // bytes per second of the slowest; 0: nobody measured
  double write_speed = 0;  // likewise
};

void keep_slowest(double& slowest, std::uint64_t bytes, double seconds) {
  if (bytes < kLeastTimedBytes) return;
  const double speed = static_cast<double>(bytes) / std::max(seconds, 1e-9);
  slowest = slowest > 0 ? std::min(slowest, speed) : speed;
}

SharedView view_of(JobFacts job, std::size_t which) {
  SharedView view;
  for (std::size_t rank = 0; rank < job.size(); ++rank) {
    const FolderFacts& folder = job[rank].folders[which];
    if (!folder.fault.empty()) continue;
    view.free_bytes =
        view.ranks.empty() ? folder.free_bytes : std::min(view.free_bytes, folder.free_bytes);
    view.ranks.push_back(static_cast<int>(rank));
    view.kinds.insert(folder.kind);
    keep_slowest(view.read_speed, folder.read_bytes, folder.read_seconds);
    keep_slowest(view.write_speed, folder.written_bytes, folder.write_seconds);
  }
  return view;
}

std::string speed_text(const char* verb, double bytes_per_second) {
  if (bytes_per_second <= 0) return "";
  return text(", ", verb, " at ", human_bytes(static_cast<std::uint64_t>(bytes_per_second)), "/s");
}

// A finding under construction: each remark adds to what was found and to what to do.
class Remarks {
 public:
  explicit Remarks(Finding& finding) : finding_(finding) {}
  void add(Status status, const std::string& found, const std::string& advice) {
    finding_.status = std::max(finding_.status, status);
    finding_.found += "; " + found;
    finding_.advice += text(finding_.advice.empty() ? "" : " ", advice);
  }

 private:
  Finding& finding_;
};

void judge_data(const SharedView& view, Remarks remarks) {
  if (view.read_speed > 0 && view.read_speed < kSlowReadBytesPerSecond) {
    remarks.add(Status::kWarning, "slow",
                "Training may wait for images: put the dataset on a local disk of each host.");
  }
}

void judge_run(const SharedView& view, Remarks remarks) {
  if (view.kinds.contains("tmpfs") || view.kinds.contains("ramfs")) {
    remarks.add(Status::kWarning, "in memory, gone with the host",
                "Choose a --run on a disk: checkpoints are to outlive the host.");
  }
  if (view.kinds.contains("overlay")) {
    remarks.add(Status::kWarning, "in a layer of the container, gone with it",
                "Mount a folder of the host for --run.");
  }
  if (view.free_bytes < kLittleRoom) {
    remarks.add(view.free_bytes < kNoRoom ? Status::kProblem : Status::kWarning, "little room",
                "Free some space; `atelier train ... --dry-run` says what checkpoints take.");
  }
  if (view.write_speed > 0 && view.write_speed < kSlowWriteBytesPerSecond) {
    remarks.add(Status::kWarning, "slow to write",
                "Training stands still while it saves: raise checkpoint.steps or use a faster "
                "disk.");
  }
}

const char* advice_of_fault(bool is_data) {
  return is_data ? "Correct --data, or fill it: atelier data import IMAGES --out DIR. Every host "
                   "needs the folder under this name."
                 : "Choose another --run, or mend its permissions or its mount. Every host needs "
                   "to write there.";
}

std::vector<Finding> judge_folder(JobFacts job, std::size_t which) {
  const FolderFacts& first = job.front().folders[which];
  const bool is_data = first.role == "data";
  const std::string topic = first.role + " folder";
  std::vector<Finding> findings;
  const SharedView view = view_of(job, which);
  if (!view.ranks.empty()) {
    const std::vector<std::string> kinds(view.kinds.begin(), view.kinds.end());
    Finding finding{
        .topic = topic,
        .found =
            text("'", first.path, "' on ", join(kinds), ", ", human_bytes(view.free_bytes), " free",
                 speed_text("written", view.write_speed), speed_text("read", view.read_speed)),
        .ranks = view.ranks.size() == job.size() ? std::vector<int>{} : view.ranks};
    is_data ? judge_data(view, Remarks(finding)) : judge_run(view, Remarks(finding));
    findings.push_back(finding);
  }
  std::vector<Finding> each;
  for (const RankFacts& rank : job) {
    each.push_back({.topic = topic,
                    .status = Status::kProblem,
                    .found = rank.folders[which].fault,
                    .advice = advice_of_fault(is_data)});
  }
  for (Finding& finding : merge(each)) {
    if (!finding.found.empty()) findings.push_back(std::move(finding));
  }
  return findings;
}

}  // namespace

std::vector<Finding> judge_folders(JobFacts job) {
  if (job.front().folders.empty()) {
    return {{.topic = "folders",
             .found = "none was named",
             .advice = "--data DIR and --run DIR examine the disks of images and of runs."}};
  }
  std::vector<Finding> all;
  for (std::size_t which = 0; which < job.front().folders.size(); ++which) {
    std::vector<Finding> findings = judge_folder(job, which);
    all.insert(all.end(), findings.begin(), findings.end());
  }
  return all;
}

}  // namespace atelier::doctor

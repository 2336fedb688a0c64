#include "monitoring/discovery.h"

#include <nlohmann/json.hpp>

#include "launch/base/error.h"
#include "launch/base/text.h"

namespace atelier::monitoring {
namespace {

constexpr std::string_view kAllowed =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

}  // namespace

Discovery::Discovery(FileSystem& files, Log& log, DiscoveryOptions options)
    : files_(files), log_(log), options_(std::move(options)) {
  const std::string& id = options_.run_id;
  ATELIER_CHECK(!id.empty() && id.find_first_not_of(kAllowed) == std::string::npos && id[0] != '.',
                "run id '" + id + "' cannot be a file name");
}

std::vector<Path> Discovery::paths() const {
  std::vector<Path> out{options_.run_dir / kDiscoveryCopy};
  if (!options_.discovery_dir.empty()) {
    out.push_back(options_.discovery_dir / (options_.run_id + ".json"));
  }
  return out;
}

void Discovery::publish(const std::vector<std::string>& targets) {
  const std::string content = discovery_json(options_.run_id, targets);
  for (const Path& path : paths()) {
    try {
      files_.create_directories(path.parent_path());
      write_atomically(files_, path, content);
    } catch (const std::exception& problem) {
      log_.warn(text("Prometheus cannot find this run by '", path.string(), "': ", problem.what()));
    }
  }
}

void Discovery::remove() noexcept {
  for (const Path& path : paths()) {
    try {
      if (files_.exists(path)) files_.remove_all(path);
    } catch (const std::exception& problem) {
      log_.warn(text("The target file '", path.string(),
                     "' of the ended run is left behind: ", problem.what()));
    }
  }
}

std::string discovery_json(const std::string& run_id, const std::vector<std::string>& targets) {
  const nlohmann::json document = {{{"targets", targets}, {"labels", {{"run_id", run_id}}}}};
  return document.dump() + "\n";
}

}  // namespace atelier::monitoring

#include "trainer/loop/checks.h"

#include <thread>

#include "launch/base/config_compare.h"
#include "launch/base/config_listing.h"
#include "launch/base/config_print.h"
#include "launch/base/error.h"
#include "launch/base/text.h"
#include "launch/comm/call.h"
#include "launch/comm/handshake.h"
#include "launch/comm/together.h"
#include "trainer/loop/feed.h"

namespace atelier::loop {
void require_trainable(const RunConfig& config, const data::Dataset& dataset, int world) {
  if (config.train.batch % config.train.accumulation != 0) {
    throw ConfigError(text("train.batch is ", config.train.batch, ", which train.accumulation = ",
                           config.train.accumulation, " does not divide."),
                      "Accumulate over parts of equal size.");
  }
  if (micro_batch(config) < static_cast<std::uint64_t>(world)) {
    throw ConfigError(
        text("train.batch is ", config.train.batch, " in ", config.train.accumulation,
             " part(s), but ", world, " ranks need at least one image each of every part."),
        "Use fewer ranks, a larger batch or less accumulation.");
  }
  if (config.loading.on_damage == data::OnDamage::kSkip &&
      config.device.graphs == device::Graphs::kOn) {
    throw ConfigError(
        "With data.on_damage = \"skip\" ranks may have batches of other sizes than "
        "usual, which device.graphs = \"on\" has not recorded.",
        "Set data.on_damage = \"substitute\", or device.graphs = \"off\".");
  }
  const std::uint64_t held_out = dataset.size(data::Split::kValid);
  if (held_out < 2) {
    throw DataError(text("The dataset '", dataset.folder().string(), "' has ", held_out,
                         " validation images; the indicators compare with at least 2."),
                    "Import more images.");
  }
}

void require_same_run(comm::Comm& comm, const TrainRequest& request, const data::Dataset& dataset) {
  std::vector<comm::NamedText> items;
  for (const ConfigField& field : list_fields(request.config)) {
    items.push_back({field.key, to_toml(field.value)});
  }
  items.push_back({"dataset id", dataset.id()});
  items.push_back({"run folder", request.run.string()});
  items.push_back({"program", request.build.version + " " + request.build.commit});
  comm::require_equal(comm, items);
}

void require_same_model(comm::Comm& comm, const objectives::Objective& objective) {
  std::vector<comm::NamedText> items;
  for (const objectives::NamedNet& named : objective.nets()) {
    for (const auto& parameter : named.net->named_parameters()) {
      items.push_back({text(named.name, ".", parameter.key()), text(parameter.value().sizes())});
    }
  }
  comm::require_equal(comm, items);
}

void require_shared_folder(comm::Comm& comm, FileSystem& files, const RunPaths& paths,
                           const std::string& identity, std::chrono::milliseconds delay) {
  const auto sees_it = [&] {
    try {
      return files.exists(paths.identity()) && files.read(paths.identity()) == identity;
    } catch (const IoError&) {  // replaced while it was read
      return false;
    }
  };
  const auto give_up = std::chrono::steady_clock::now() + delay;
  while (!sees_it() && std::chrono::steady_clock::now() < give_up) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  std::vector<int> blind;
  const std::vector<std::string> seen = gather_texts(comm, sees_it() ? "yes" : "no");
  for (std::size_t rank = 0; rank < seen.size(); ++rank) {
    if (seen[rank] == "no") blind.push_back(static_cast<int>(rank));
  }
  if (blind.empty()) return;
  throw RefusedError(
      text("The run folder '", paths.folder.string(), "' that rank 0 writes to is not ", "what ",
           comm::name_ranks(blind), " see there."),
      "Name a --run on a file system that all hosts share.");
}

void require_compatible(const RunState& state, const TrainRequest& request,
                        const data::Dataset& dataset) {
  std::string problems;
  for (const ConfigDifference& difference :
       differences(state.config, list_fields(request.config), list_fields(RunConfig{}))) {
    if (!difference.may_change_on_resume) problems += "\n  " + to_string(difference);
  }
  if (state.dataset_id != dataset.id()) {
    problems += text("\n  dataset: ", state.dataset_id, " before, ", dataset.id(), " now");
  }
  if (problems.empty()) return;
  throw ConfigError(text("The run in '", request.run.string(),
                         "' cannot go on with another configuration:", problems),
                    "\nGive the same configuration, --set and --data, or start a new --run.");
}

}  // namespace atelier::loop

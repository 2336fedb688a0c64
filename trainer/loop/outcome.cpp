#include "trainer/loop/outcome.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include <nlohmann/json.hpp>

#include "launch/base/error.h"
#include "launch/base/json.h"
#include "launch/base/text.h"

namespace atelier::loop {
namespace {

constexpr std::array<std::string_view, 3> kEndings{"finished", "stopped", "failed"};

Ending ending_of(std::string_view name) {
  const auto* found = std::find(kEndings.begin(), kEndings.end(), name);
  if (found == kEndings.end()) throw DataError(text("No run ends as '", name, "'."));
  return static_cast<Ending>(found - kEndings.begin());
}

}  // namespace

std::string name_of(Ending ending) {
  return std::string(kEndings.at(static_cast<std::size_t>(ending)));
}

void write_outcome(FileSystem& files, const Path& path, const Outcome& outcome) {
  nlohmann::ordered_json indicators = nlohmann::ordered_json::object();
  for (const auto& [name, value] : outcome.indicators) {
    indicators[name] = std::isfinite(value) ? nlohmann::ordered_json(value) : nullptr;
  }
  const nlohmann::ordered_json json{{"format_version", "1.0"},
                                    {"family", outcome.family},
                                    {"status", name_of(outcome.ending)},
                                    {"exit_code", outcome.exit_code},
                                    {"error", outcome.error},
                                    {"step", outcome.step},
                                    {"target_steps", outcome.target_steps},
                                    {"images", outcome.images},
                                    {"training_seconds", outcome.training_seconds},
                                    {"images_per_second", outcome.images_per_second()},
                                    {"world", outcome.world},
                                    {"threads", outcome.threads},
                                    {"precision", outcome.precision},
                                    {"dataset_id", outcome.dataset_id},
                                    {"parameters", outcome.parameters},
                                    {"indicators", indicators}};
  write_atomically(files, path, json.dump(2) + "\n");
}

Outcome read_outcome(FileSystem& files, const Path& path) {
  try {
    const nlohmann::json json = parse_json_strict(files.read(path), path.string());
    Outcome outcome{.family = json.at("family").get<std::string>(),
                    .ending = ending_of(json.at("status").get<std::string>()),
                    .exit_code = json.value("exit_code", 0),
                    .error = json.value("error", ""),
                    .step = json.at("step").get<std::int64_t>(),
                    .target_steps = json.at("target_steps").get<std::int64_t>(),
                    .images = json.at("images").get<std::int64_t>(),
                    .training_seconds = json.at("training_seconds").get<double>(),
                    .world = json.at("world").get<int>(),
                    .threads = json.at("threads").get<std::int64_t>(),
                    .precision = json.at("precision").get<std::string>(),
                    .dataset_id = json.at("dataset_id").get<std::string>(),
                    .parameters = json.at("parameters").get<std::map<std::string, std::int64_t>>(),
                    .indicators = {}};
    for (const auto& [name, value] : json.at("indicators").items()) {
      outcome.indicators[name] = value.is_null() ? std::nan("") : value.get<double>();
    }
    return outcome;
  } catch (const nlohmann::json::exception& error) {
    throw DataError(text("'", path.string(), "' is not the outcome of a run: ", error.what(), "."));
  }
}

bool has_finished(FileSystem& files, const Path& path) {
  if (!files.exists(path)) return false;
  try {
    return read_outcome(files, path).ending == Ending::kFinished;
  } catch (const DataError&) {
    return false;
  }
}

std::string summary(const Outcome& outcome, const std::string& folder) {
  std::string line =
      text(outcome.ending == Ending::kFinished ? "Finished" : "Stopped", " at step ", outcome.step,
           " of ", outcome.target_steps, ": ", human_count(outcome.images), " images in ",
           human_seconds(outcome.training_seconds), " (",
           human_count(std::llround(outcome.images_per_second())), " images/s, ", outcome.precision,
           "). Everything is in '", folder, "'.");
  for (const auto& [name, value] : outcome.indicators)
    line += text("\n  ", name, " ", fixed(value, 4));
  return line;
}

}  // namespace atelier::loop

// What `atelier data info` says about a dataset. Thread safety: pure functions.
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include "data/dataset.h"

namespace atelier::data {

/// For people, several lines.
[[nodiscard]] std::string describe(const Dataset& dataset);

/// The same facts as one JSON object: id, image, classes, splits, mean, stddev, shards, bytes …
[[nodiscard]] nlohmann::ordered_json describe_json(const Dataset& dataset);

}  // namespace atelier::data

// Comparing configurations: between ranks at start, and between a run's stored configuration and
// the one it is resumed with. The flat form is one "key = value" line per key, sorted by key, so
// that it can be sent, stored and hashed as text. Thread safety: pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "launch/base/config_listing.h"

namespace atelier {

[[nodiscard]] std::string flatten(std::span<const ConfigField> fields);

/// XXH3-64 of the flat form: equal on two ranks exactly when every key and value is.
[[nodiscard]] std::uint64_t config_hash(std::span<const ConfigField> fields);

struct ConfigDifference {
  std::string key;
  std::string before;  ///< as TOML; empty: the key was not there
  std::string now;     ///< as TOML; empty: the key is no longer there
  bool may_change_on_resume = false;
};

/// Keys whose values differ, sorted by key. `before` is a flat form, of a stored run. A key that it
/// lacks had the value it has in `defaults`: the program that stored it did not know the key yet.
[[nodiscard]] std::vector<ConfigDifference> differences(std::string_view before,
                                                        std::span<const ConfigField> now,
                                                        std::span<const ConfigField> defaults = {});

/// "train.batch: 64 before, 32 now".
[[nodiscard]] std::string to_string(const ConfigDifference& difference);

}  // namespace atelier

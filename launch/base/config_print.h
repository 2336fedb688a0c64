// Configurations for people and programs: the resolved configuration as TOML, and the schema of all
// keys as JSON or as a table. Thread safety: pure functions.
#pragma once

#include <span>
#include <string>

#include "launch/base/config_listing.h"

namespace atelier {

/// TOML with each key's doc as a comment, keys grouped by table. Reading it back gives the same
/// values, doubles to the bit.
[[nodiscard]] std::string config_toml(std::span<const ConfigField> fields);

/// One JSON document: {"keys": [{"key", "type", "default", "min", "max", "choices", "doc",
/// "may_change_on_resume"}]}. The defaults are the values of `fields`; bounds that are the type's
/// own are left out.
[[nodiscard]] std::string schema_json(std::span<const ConfigField> fields);

/// The same for a terminal, one key a line.
[[nodiscard]] std::string schema_table(std::span<const ConfigField> fields);

}  // namespace atelier

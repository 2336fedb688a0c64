// Configurations that are known to work, by name. A preset is TOML text like a user's own file.
// Thread safety: constants.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace atelier::app {

struct Preset {
  std::string_view name;
  std::int64_t side;  ///< height and width of the images it is meant for
  std::string_view about;
  std::string_view toml;
};

[[nodiscard]] const std::vector<Preset>& presets();

/// Null when there is none of that name.
[[nodiscard]] const Preset* find_preset(std::string_view name);

}  // namespace atelier::app

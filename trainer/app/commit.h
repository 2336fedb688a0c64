// The commit this program was built from; its source is written by every build
// (write_commit.cmake). Thread safety: pure.
#pragma once

#include <string>

namespace atelier::app {

/// "c44e47112e0b", with "-dirty" for uncommitted changes; "unknown" outside of a repository.
[[nodiscard]] std::string build_commit();

}  // namespace atelier::app

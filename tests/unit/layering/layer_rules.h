// The dependency order of the source tree as data, and the checks that hold a tree to it. A finding
// names file and line, so that a failing test reads like a compiler's message. Thread safety: plain
// values and functions without state; any thread.
#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <vector>

namespace atelier::layering {

struct Layer {
  std::string folder;             ///< path from the root, without a slash at the end
  std::set<std::string> allowed;  ///< folders it may include, itself among them
  bool torch = false;             ///< may include LibTorch
};

/// Reads a table in the form of launch/setup/layers.txt. Throws: std::runtime_error naming the
/// line.
std::vector<Layer> read_layers(const std::filesystem::path& table);

struct Finding {
  std::string file;  ///< path from the root
  int line = 0;      ///< 0 = the file as a whole
  std::string message;
};

std::string to_text(const std::vector<Finding>& findings);

/// Every `#include` of every .h and .cpp below `root` that the table does not allow, or that does
/// not name a project file by its path from the root.
std::vector<Finding> check_includes(const std::filesystem::path& root,
                                    const std::vector<Layer>& layers);

/// Every source folder (tests apart) whose README.md is missing, longer than 40 lines besides
/// tables, or names not all headers.
std::vector<Finding> check_readmes(const std::filesystem::path& root);

}  // namespace atelier::layering

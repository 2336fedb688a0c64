#include "tests/unit/layering/layer_rules.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <stdexcept>

namespace atelier::layering {
namespace fs = std::filesystem;
namespace {

constexpr std::array kNotOurs = {"build", "out", "runs"};
constexpr std::array kTorchRoots = {"torch", "ATen", "c10"};
constexpr std::array kVagueNames = {"common", "helpers", "misc", "util", "utils"};
constexpr int kMaxReadmeLines = 40;

bool contains(const auto& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// Project files with one of `extensions`, as sorted paths from the root; build output and hidden
/// folders are passed over.
std::vector<fs::path> files_below(const fs::path& root, const std::set<std::string>& extensions) {
  std::vector<fs::path> files;
  for (fs::recursive_directory_iterator entry(root), end; entry != end; ++entry) {
    const std::string name = entry->path().filename().string();
    const bool at_top = entry.depth() == 0;
    if (entry->is_directory() && (name.front() == '.' || (at_top && contains(kNotOurs, name)))) {
      entry.disable_recursion_pending();
    } else if (entry->is_regular_file() &&
               extensions.contains(entry->path().extension().string())) {
      files.push_back(entry->path().lexically_relative(root));
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

const Layer* layer_of(const fs::path& file, const std::vector<Layer>& layers) {
  for (fs::path folder = file.parent_path(); !folder.empty(); folder = folder.parent_path()) {
    for (const Layer& layer : layers) {
      if (layer.folder == folder.generic_string()) {
        return &layer;
      }
    }
  }
  return nullptr;
}

/// Tests in tests/<kind>/<module> take torch only where a layer of that name does; others (e.g.
/// whole-program tests) may.
bool may_use_torch(const fs::path& file, const Layer& layer, const std::vector<Layer>& layers) {
  const std::vector<fs::path> parts(file.begin(), file.end());
  if (layer.folder != "tests" || parts.size() < 4) {
    return layer.torch;
  }
  for (const Layer& tested : layers) {
    if (fs::path(tested.folder).filename() == parts[2]) {
      return tested.torch;
    }
  }
  return layer.torch;
}

struct Include {
  int line;
  std::string path;
  bool quoted;
};

/// `line` as an include directive, if it is one. Our paths hold no blanks, so all blanks may go.
std::optional<Include> parse_include(std::string line, int number) {
  std::erase_if(line, [](char c) { return c == ' ' || c == '\t'; });
  const bool quoted = line.starts_with("#include\"");
  if (!quoted && !line.starts_with("#include<")) {
    return std::nullopt;
  }
  const std::size_t start = line.find(quoted ? '"' : '<') + 1;
  const std::size_t end = line.find(quoted ? '"' : '>', start);
  return Include{number, line.substr(start, end - start), quoted};
}

std::vector<Include> includes_of(const fs::path& file) {
  std::vector<Include> includes;
  std::ifstream in(file);
  int number = 0;
  for (std::string line; std::getline(in, line);) {
    if (const auto include = parse_include(line, ++number)) {
      includes.push_back(*include);
    }
  }
  return includes;
}

/// One file against the table; collects what it finds.
class FileCheck {
 public:
  FileCheck(const fs::path& root, const fs::path& file, const std::vector<Layer>& layers)
      : root_(root), file_(file), layers_(layers), layer_(layer_of(file, layers)) {}

  std::vector<Finding> run() {
    if (layer_ == nullptr) {
      report(0, "stands in a folder that launch/setup/layers.txt does not list");
      return findings_;
    }
    for (const fs::path& part : file_) {
      if (contains(kVagueNames, part.stem().string())) {
        report(0, "a name like '" + part.string() + "' says nothing; name the idea it holds");
      }
    }
    for (const Include& include : includes_of(root_ / file_)) {
      check(include);
    }
    return findings_;
  }

 private:
  void report(int line, const std::string& message) {
    findings_.push_back({file_.generic_string(), line, message});
  }

  void check(const Include& include) {
    const fs::path path = include.path;
    const Layer* target = layer_of(path, layers_);
    const bool ours = target != nullptr && fs::exists(root_ / path);
    if (contains(kTorchRoots, path.begin()->string())) {
      if (!may_use_torch(file_, *layer_, layers_)) {
        report(include.line, "includes LibTorch (" + include.path + "), which only trainer/ may");
      }
    } else if (include.quoted && (!ours || contains(path, ".."))) {
      report(include.line, "\"" + include.path + "\" is no project file by its path from the root");
    } else if (!include.quoted && ours) {
      report(include.line, "<" + include.path + "> is a project file: include it in quotes");
    } else if (ours && !layer_->allowed.contains(target->folder)) {
      report(include.line,
             layer_->folder + " may not include " + target->folder + " (" + include.path + ")");
    }
  }

  const fs::path& root_;
  const fs::path& file_;
  const std::vector<Layer>& layers_;
  const Layer* layer_;
  std::vector<Finding> findings_;
};

std::optional<std::string> readme_fault(const fs::path& readme,
                                        const std::vector<std::string>& headers) {
  std::ifstream in(readme);
  if (!in) {
    return "is missing";
  }
  std::string text;
  int lines = 0;
  for (std::string line; std::getline(in, line);) {
    lines += line.starts_with("|") ? 0 : 1;
    text += line + "\n";
  }
  if (lines > kMaxReadmeLines) {
    return "has " + std::to_string(lines) + " lines besides tables, at most " +
           std::to_string(kMaxReadmeLines);
  }
  for (const std::string& header : headers) {
    if (text.find(header) == std::string::npos) {
      return "does not list " + header;
    }
  }
  return std::nullopt;
}

}  // namespace

std::vector<Layer> read_layers(const fs::path& table) {
  std::ifstream in(table);
  if (!in) {
    throw std::runtime_error("cannot read " + table.string());
  }
  std::vector<Layer> layers;
  std::set<std::string> above;
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line.substr(0, line.find('#')));
    Layer layer;
    if (!(words >> layer.folder)) {
      continue;
    }
    if (layer.folder.back() != ':') {
      throw std::runtime_error(table.string() + ": expected '<folder>: ...', found '" + line + "'");
    }
    layer.folder.pop_back();
    layer.allowed = {layer.folder};
    for (std::string word; words >> word;) {
      if (word == "torch") {
        layer.torch = true;
      } else if (word == "above") {
        layer.allowed.insert(above.begin(), above.end());
      } else if (above.contains(word)) {
        layer.allowed.insert(word);
      } else {
        throw std::runtime_error(table.string() + ": '" + layer.folder + "' names '" + word +
                                 "', which is not listed above it");
      }
    }
    above.insert(layer.folder);
    layers.push_back(std::move(layer));
  }
  return layers;
}

std::string to_text(const std::vector<Finding>& findings) {
  std::ostringstream text;
  for (const Finding& finding : findings) {
    text << "\n" << finding.file;
    if (finding.line > 0) {
      text << ":" << finding.line;
    }
    text << ": " << finding.message;
  }
  return text.str();
}

std::vector<Finding> check_includes(const fs::path& root, const std::vector<Layer>& layers) {
  std::vector<Finding> findings;
  for (const fs::path& file : files_below(root, {".h", ".cpp"})) {
    const std::vector<Finding> found = FileCheck(root, file, layers).run();
    findings.insert(findings.end(), found.begin(), found.end());
  }
  return findings;
}

std::vector<Finding> check_readmes(const fs::path& root) {
  std::map<fs::path, std::vector<std::string>> headers;
  for (const fs::path& file : files_below(root, {".h", ".cpp"})) {
    if (*file.begin() != "tests") {
      auto& listed = headers[file.parent_path()];
      if (file.extension() == ".h") {
        listed.push_back(file.filename().string());
      }
    }
  }
  std::vector<Finding> findings;
  for (const auto& [folder, names] : headers) {
    if (const auto fault = readme_fault(root / folder / "README.md", names)) {
      findings.push_back({(folder / "README.md").generic_string(), 0, *fault});
    }
  }
  return findings;
}

}  // namespace atelier::layering

#include "tests/unit/checkpoints/simulated_disk.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "launch/base/error.h"
#include "launch/base/random.h"
#include "launch/base/text.h"

namespace atelier::test {

struct SimulatedDisk::Node {
  bool folder = false;
  std::string bytes;
  std::size_t safe_bytes = 0;
  Names names;
  std::vector<Names> history;  ///< of a folder: its names after each unsynced change; [0] is safe

  void changed() { history.push_back(names); }
  void make_safe() {
    safe_bytes = bytes.size();
    history = {names};
  }
};

class SimulatedDisk::File final : public WritableFile {
 public:
  File(SimulatedDisk& disk, NodePointer node) : disk_(disk), node_(std::move(node)) {}
  void append(std::span<const std::byte> bytes) override {
    disk_.call();
    node_->bytes.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  void sync() override {
    disk_.call();
    node_->make_safe();
  }
  void close() override { disk_.call(); }

 private:
  SimulatedDisk& disk_;
  NodePointer node_;
};

SimulatedDisk::SimulatedDisk() : root_(std::make_shared<Node>()) {
  root_->folder = true;
  root_->make_safe();
}

SimulatedDisk::~SimulatedDisk() = default;

void SimulatedDisk::cut_power_at(std::size_t nth_call) { dead_from_ = calls_ + nth_call; }

void SimulatedDisk::restart(std::uint64_t seed) {
  lose(*root_, seed);
  calls_ = 0;
  dead_from_ = 0;
}

void SimulatedDisk::lose(Node& node, std::uint64_t& seed) {
  const auto draw = [&](std::size_t bound) { return mix64(++seed) % bound; };
  if (!node.folder) {
    node.bytes.resize(node.safe_bytes + draw(node.bytes.size() - node.safe_bytes + 1));
    node.safe_bytes = node.bytes.size();
    return;
  }
  node.names = node.history[draw(node.history.size())];
  node.history = {node.names};
  for (const auto& [name, child] : node.names) lose(*child, seed);
}

void SimulatedDisk::call() {
  ++calls_;
  if (dead_from_ > 0 && calls_ >= dead_from_) throw IoError("the power is off");
}

SimulatedDisk::NodePointer SimulatedDisk::find(const Path& path) const {
  NodePointer node = root_;
  for (const Path& part : path.relative_path()) {
    const auto child = node->names.find(part.string());
    if (child == node->names.end()) return nullptr;
    node = child->second;
  }
  return node;
}

SimulatedDisk::NodePointer SimulatedDisk::need(const Path& path) const {
  NodePointer node = find(path);
  if (node == nullptr) throw IoError(text("'", path.string(), "' is not there"));
  return node;
}

SimulatedDisk::NodePointer SimulatedDisk::parent(const Path& path) const {
  return need(path.parent_path());
}

std::unique_ptr<WritableFile> SimulatedDisk::create(const Path& path) {
  call();
  if (find(path) != nullptr) throw IoError(text("'", path.string(), "' exists"));
  auto node = std::make_shared<Node>();
  const NodePointer folder = parent(path);
  folder->names[path.filename().string()] = node;
  folder->changed();
  return std::make_unique<File>(*this, node);
}

std::string SimulatedDisk::read(const Path& path) {
  call();
  return need(path)->bytes;
}

void SimulatedDisk::read_at(const Path& path, std::uint64_t offset, std::span<std::byte> out) {
  call();
  const std::string& bytes = need(path)->bytes;
  if (offset + out.size() > bytes.size()) throw IoError(text("'", path.string(), "' is short"));
  if (!out.empty()) std::memcpy(out.data(), bytes.data() + offset, out.size());
}

bool SimulatedDisk::exists(const Path& path) {
  call();
  return find(path) != nullptr;
}

std::uint64_t SimulatedDisk::size(const Path& path) {
  call();
  return need(path)->bytes.size();
}

std::vector<std::string> SimulatedDisk::list(const Path& directory) {
  call();
  std::vector<std::string> names;
  for (const auto& [name, node] : need(directory)->names) names.push_back(name);
  return names;
}

void SimulatedDisk::create_directories(const Path& path) {
  call();
  NodePointer node = root_;
  for (const Path& part : path.relative_path()) {
    NodePointer& child = node->names[part.string()];
    if (child == nullptr) {
      child = std::make_shared<Node>();
      child->folder = true;
      child->make_safe();
      node->changed();
    }
    node = child;
  }
}

void SimulatedDisk::move(const Path& from, const Path& to) {
  const NodePointer node = need(from);
  const NodePointer old_folder = parent(from);
  const NodePointer new_folder = parent(to);
  new_folder->names[to.filename().string()] = node;
  if (old_folder != new_folder) new_folder->changed();
  old_folder->names.erase(from.filename().string());
  old_folder->changed();
}

void SimulatedDisk::rename(const Path& from, const Path& to) {
  call();
  move(from, to);
}

void SimulatedDisk::rename_new(const Path& from, const Path& to) {
  call();
  if (find(to) != nullptr) throw IoError(text("'", to.string(), "' exists"));
  move(from, to);
}

void SimulatedDisk::remove_all(const Path& path) {
  call();
  if (find(path) == nullptr) return;
  const NodePointer folder = parent(path);
  folder->names.erase(path.filename().string());
  folder->changed();
}

void SimulatedDisk::sync(const Path& path) {
  call();
  need(path)->make_safe();
}

std::uint64_t SimulatedDisk::free_bytes(const Path& path) {
  call();
  static_cast<void>(need(path));
  return std::uint64_t{1} << 40U;
}

}  // namespace atelier::test

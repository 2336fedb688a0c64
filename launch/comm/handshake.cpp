#include "launch/comm/handshake.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <vector>

#include "launch/base/error.h"
#include "launch/base/hash.h"
#include "launch/base/text.h"

namespace atelier::comm {
namespace {

constexpr std::size_t kMostDifferences = 5;
constexpr std::size_t kLongestValue = 80;
using Items = std::map<std::string, std::string>;

void append(std::string& bytes, std::string_view part) {
  const std::uint64_t size = part.size();
  bytes.append(reinterpret_cast<const char*>(&size), sizeof size).append(part);
}

std::string pack(std::span<const NamedText> items) {
  std::string bytes;
  for (const NamedText& item : items) {
    append(bytes, item.name);
    append(bytes, item.value);
  }
  return bytes;
}

Items unpack(std::string_view bytes) {
  const auto take = [&bytes] {
    std::uint64_t size = 0;
    std::memcpy(&size, bytes.data(), sizeof size);
    std::string part(bytes.substr(sizeof size, size));
    bytes.remove_prefix(sizeof size + size);
    return part;
  };
  Items items;
  while (!bytes.empty()) {
    std::string name = take();
    items[std::move(name)] = take();
  }
  return items;
}

std::string shown(const Items& items, const std::string& name) {
  const auto found = items.find(name);
  if (found == items.end()) {
    return text("no ", name);
  }
  const std::string& value = found->second;
  return text(name, " = ",
              value.size() > kLongestValue ? value.substr(0, kLongestValue) + "..." : value);
}

std::vector<std::string> differences(const Items& reference, const Items& other, int rank) {
  Items names = reference;
  names.insert(other.begin(), other.end());
  std::vector<std::string> found;
  for (const auto& [name, value] : names) {
    const auto left = reference.find(name);
    const auto right = other.find(name);
    if (left == reference.end() || right == other.end() || left->second != right->second) {
      const std::string mine = left == reference.end() ? "no such key" : shown(reference, name);
      const auto skip = left == reference.end() ? 0 : name.size() + 3;
      found.push_back(
          text("rank ", rank, " has ", shown(other, name), ", rank 0 has ", mine.substr(skip)));
    }
  }
  return found;
}

/// The packed items of every rank, in rank order.
std::vector<std::string> gather(Comm& comm, const std::string& mine) {
  const auto world = static_cast<std::size_t>(comm.world());
  const auto size = static_cast<std::int64_t>(mine.size());
  std::vector<std::int64_t> sizes(world);
  comm.all_gather({&size, 1, DType::kInt64}, {sizes.data(), world, DType::kInt64},
                  {.label = "handshake: sizes"});
  const auto longest = static_cast<std::size_t>(*std::max_element(sizes.begin(), sizes.end()));
  std::string padded = mine;
  padded.resize(longest);
  std::string all(world * longest, '\0');
  comm.all_gather({padded.data(), longest, DType::kUInt8}, {all.data(), all.size(), DType::kUInt8},
                  {.label = "handshake: values"});
  std::vector<std::string> packed;
  for (std::size_t rank = 0; rank < world; ++rank) {
    packed.push_back(all.substr(rank * longest, static_cast<std::size_t>(sizes[rank])));
  }
  return packed;
}

}  // namespace

void require_equal(Comm& comm, std::span<const NamedText> items) {
  const std::string mine = pack(items);
  const std::uint64_t hash = xxh3_64(mine);
  std::vector<std::uint64_t> hashes(static_cast<std::size_t>(comm.world()));
  comm.all_gather({&hash, 1, DType::kInt64}, {hashes.data(), hashes.size(), DType::kInt64},
                  {.label = "handshake: hash"});
  if (std::all_of(hashes.begin(), hashes.end(), [&](auto other) { return other == hashes[0]; })) {
    return;
  }
  const std::vector<std::string> packed = gather(comm, mine);
  const Items reference = unpack(packed[0]);
  std::vector<std::string> all;
  for (std::size_t rank = 1; rank < packed.size(); ++rank) {
    const auto found = differences(reference, unpack(packed[rank]), static_cast<int>(rank));
    all.insert(all.end(), found.begin(), found.end());
  }
  const std::size_t hidden = all.size() - std::min(all.size(), kMostDifferences);
  all.resize(all.size() - hidden);
  throw ConfigError(text("The ranks do not mean the same run: ", join(all, "; "),
                         hidden > 0 ? text("; and ", hidden, " more") : "", "."),
                    "Start every rank with the same configuration, dataset and program.");
}

}  // namespace atelier::comm

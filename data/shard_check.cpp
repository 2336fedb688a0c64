#include "data/shard_check.h"

#include <algorithm>

#include "data/raw_file.h"
#include "launch/base/hash.h"
#include "launch/base/text.h"

namespace atelier::data {
namespace {

std::vector<std::uint64_t> read_numbers(const RawFile& file, std::uint64_t offset,
                                        std::uint64_t count) {
  std::vector<std::uint64_t> out(count);
  file.read_at(offset, std::as_writable_bytes(std::span(out)));
  return out;
}

std::string list_ids(std::span<const std::uint64_t> ids) {
  constexpr std::size_t kShown = 4;
  std::vector<std::string> shown;
  for (std::size_t i = 0; i < std::min(ids.size(), kShown); ++i) shown.push_back(text(ids[i]));
  const std::string rest = ids.size() > kShown ? text(" and ", ids.size() - kShown, " more") : "";
  return join(shown) + rest;
}

}  // namespace

BlockPlace block_at(const Table& table, const TablePlace& place, std::uint64_t rows,
                    std::uint64_t block) {
  const std::uint64_t first = block * table.block_rows();
  const std::uint64_t count = std::min(table.block_rows(), rows - first);
  return {block, first, count, place.offset + first * table.row_bytes(), count * table.row_bytes()};
}

std::string damage_text(const Path& file, const Table& table, const BlockPlace& block,
                        std::span<const std::uint64_t> ids,
                        std::pair<std::uint64_t, std::uint64_t> expected_and_found) {
  return text("Block ", block.index, " of /", table.name, " in '", file.string(), "' (bytes ",
              block.offset, " to ", block.offset + block.bytes - 1, ", sample ids ",
              list_ids(ids.subspan(block.first_row, block.rows)), ") is damaged: expected hash ",
              to_hex(expected_and_found.first), ", found ", to_hex(expected_and_found.second), ".");
}

ShardDamage check_shard_bytes(const Path& path, const std::vector<Table>& tables,
                              const ShardEntry& entry, const SeeRows& see) {
  const RawFile file(path, RawFile::Mode::kRead);
  ShardDamage damage;
  const std::uint64_t rows = entry.num_samples;
  const auto ids = read_numbers(file, entry.places.at(kIds).offset, rows);
  std::vector<std::byte> buffer;
  for (std::size_t i = 0; i < tables.size(); ++i) {
    const TablePlace& place = entry.places.at(i);
    const auto hashes = read_numbers(file, place.hash_offset, tables[i].blocks(rows));
    for (std::uint64_t b = 0; b < hashes.size(); ++b) {
      const BlockPlace block = block_at(tables[i], place, rows, b);
      buffer.resize(block.bytes);
      file.read_at(block.offset, buffer);
      const std::uint64_t found = xxh3_64(buffer);
      if (found != hashes[b])
        damage.findings.push_back(damage_text(path, tables[i], block, ids, {hashes[b], found}));
      ++damage.blocks;
      if (see) see(i, buffer);
    }
  }
  Hasher whole;
  constexpr std::uint64_t kPiece = 1U << 20U;
  damage.bytes = file.size();
  for (std::uint64_t at = 0; at < damage.bytes; at += kPiece) {
    buffer.resize(std::min(kPiece, damage.bytes - at));
    file.read_at(at, buffer);
    whole.update(buffer);
  }
  damage.file_hash = to_hex(whole.value());
  return damage;
}

}  // namespace atelier::data

// A manifest that is lost or damaged, made again from the shards. Thread safety: pure functions.
#pragma once

#include <string>
#include <vector>

#include "data/manifest.h"
#include "launch/base/clock.h"
#include "launch/base/file_system.h"

namespace atelier::data {

/// What the shards cannot tell (source, creator) is empty; a damaged manifest is kept beside the
/// new one as manifest.json.damaged. Nothing changes unless every shard of every split is there and
/// whole. Throws: OutputError when the manifest is whole; DataError naming the shard that is
/// missing, damaged, or of another dataset; IoError.
Manifest repair(FileSystem& files, const Clock& clock, const Path& folder);

}  // namespace atelier::data

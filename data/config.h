// How a run reads its images. Thread safety: values.
#pragma once

#include <cstdint>

#include "data/loader.h"
#include "launch/base/config_fields.h"

namespace atelier::data {

struct LoadingConfig {
  OrderMode order = OrderMode::kFull;
  std::int64_t lanes = 64;  ///< of block order
  std::int64_t window = 4;  ///< likewise; blocks
  Check check = Check::kOnce;
  OnDamage on_damage = OnDamage::kFail;
  Access access = Access::kAuto;
  std::int64_t readers = 1;     ///< threads of each image stream
  std::int64_t read_ahead = 3;  ///< batches
};

void describe(ConfigFields& fields, LoadingConfig& config);

/// With what `config` says; the rest is the caller's.
[[nodiscard]] LoaderOptions loader_options(const LoadingConfig& config);

}  // namespace atelier::data

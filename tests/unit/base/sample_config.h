// A configuration with a key of every kind, for the tests of reading, printing and comparing.
#pragma once

#include <cstdint>
#include <string>

#include "launch/base/config_fields.h"

namespace atelier::test {

enum class Precision : std::uint8_t { kFloat32, kBFloat16, kAuto };

struct SampleConfig {
  std::int64_t seed = 0;
  std::string title;
  std::int64_t batch = 64;
  std::int64_t steps = 1000;
  double rate = 2e-4;
  double momentum = 0.9;
  double shift = 0;
  bool deterministic = false;
  Precision precision = Precision::kAuto;
  std::int64_t port = 9400;
  std::string folder = "metrics";
  std::int64_t offset = 0;
  bool operator==(const SampleConfig&) const = default;
};

inline void describe(ConfigFields& f, SampleConfig& c) {
  f.integer("seed", c.seed, {}, {"where random numbers begin"});
  f.string("title", c.title, {"name of the run in reports", true});
  f.integer("train.batch", c.batch, {1, 1 << 20}, {"images per step over all ranks"});
  f.integer("train.steps", c.steps, {1}, {"steps to train", true});
  f.real("train.rate", c.rate, positive(), {"learning rate"});
  f.real("train.momentum", c.momentum, unit_interval(), {"share of the last step"});
  f.real("train.shift", c.shift, any_finite(), {"added to every pixel"});
  f.boolean("train.deterministic", c.deterministic, {"same bytes every time"});
  f.choice(
      "train.precision", c.precision,
      {{"fp32", Precision::kFloat32}, {"bf16", Precision::kBFloat16}, {"auto", Precision::kAuto}},
      {"numbers the nets compute with"});
  f.integer("monitoring.port", c.port, {1, 65535}, {"first port to listen on", true});
  f.string("monitoring.discovery.folder", c.folder, {"where targets are announced", true});
  f.integer("monitoring.discovery.offset", c.offset, {-5, 5}, {"shift of the number"});
}

}  // namespace atelier::test

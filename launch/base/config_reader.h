// Strict reading of TOML configurations (https://toml.io, 1.0). Documents and overrides are laid
// over the struct's defaults in order, each later one wins; every value keeps the place it came
// from. All faults (syntax, unknown keys, types, ranges) are collected and thrown as one
// ConfigError, each as "file:line:column: key: found ..., expected ...".
// Thread safety: one thread per reader.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "launch/base/config_fields.h"

namespace atelier {

struct ConfigDocument {
  std::string source;   ///< name in messages: a path, or "preset gan-32"
  std::string content;  ///< TOML
};

/// What a configuration is made of, each later part laid over the ones before.
struct ConfigSources {
  std::vector<ConfigDocument> documents;  ///< preset first, then the user's file
  /// "train.batch=64", as given to --set, after the documents. The value is TOML; what is no TOML
  /// and begins with none of "'[{ counts as a string.
  std::vector<std::string> overrides;
};

/// Lays the sources over the values of the struct it is shown. A field named twice by the sources
/// is checked each time, so that a fault is told even where a later source overrides it.
class ConfigReader final : public ConfigFields {
 public:
  explicit ConfigReader(const ConfigSources& sources);
  ~ConfigReader() override;
  ConfigReader(const ConfigReader&) = delete;
  ConfigReader& operator=(const ConfigReader&) = delete;

  void integer(std::string_view key, std::int64_t& value, IntRange range, FieldInfo info) override;
  void real(std::string_view key, double& value, RealRange range, FieldInfo info) override;
  void optional_real(std::string_view key, std::optional<double>& value, RealRange range,
                     FieldInfo info) override;
  void boolean(std::string_view key, bool& value, FieldInfo info) override;
  void string(std::string_view key, std::string& value, FieldInfo info) override;
  void name(std::string_view key, std::string& value, std::span<const std::string_view> names,
            FieldInfo info) override;

  /// A fault found by the caller, e.g. two keys that do not go together; told with the others.
  void add_fault(std::string_view key, std::string_view problem);
  /// Where the value of a key came from: "run.toml:3:9", "--set train.batch=64", or "default".
  [[nodiscard]] std::string origin(std::string_view key) const;
  /// Call after the last field. Throws: ConfigError listing every fault, unknown keys included.
  void finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The struct's defaults under the sources. Throws: ConfigError listing every fault.
template <typename Config>
[[nodiscard]] Config read_config(const ConfigSources& sources, Config config = {}) {
  ConfigReader reader(sources);
  describe(reader, config);
  reader.finish();
  return config;
}

}  // namespace atelier

// What the sources of a configuration say, before anyone knows which keys exist: a list of "this
// key, this value, at this place". TOML ends here; the rest of the reader knows only this list.
// Thread safety: pure functions on the caller's list.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "launch/base/config_listing.h"

namespace atelier {

struct Assignment {
  std::string key;                  ///< dotted; a word that needs quotes in TOML keeps them
  std::string place;                ///< of the value: "run.toml:3:9", or "--set train.batch=64"
  std::string key_place;            ///< of the key
  std::optional<FieldValue> value;  ///< nothing: a table without keys, an array, a date or a time
  std::string found;                ///< the value in words: "the integer 64"
  bool is_table = false;            ///< a table without keys
  bool is_override = false;
};

struct SourceFault {
  std::size_t order = 0;  ///< assignments that came before it
  std::string message;
};

struct Assignments {
  std::vector<Assignment> items;
  std::vector<SourceFault> faults;
};

/// Adds what a TOML document says, in the order of its lines; nothing but a fault when it does not
/// parse, since what follows a syntax error means little.
void add_document(std::string_view source, std::string_view content, Assignments& out);

/// Adds "key=value" as given to --set.
void add_override(std::string_view assignment, Assignments& out);

}  // namespace atelier
